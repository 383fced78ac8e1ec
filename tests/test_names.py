"""The names in the OpenAPI document, of which generators make types, constants and files: none is taken already.

A type of the same name would shadow one of the language, or keep the client from compiling.
"""

import itertools
import re

import pytest
from cases import each

VERBS = ("get", "post", "put", "patch", "delete")

# By language: what begins with a capital letter and is there without an import, or is imported by the clients of
# openapi-generator. In PHP, small letters are capital ones, so its reserved words count.
TAKEN = {
    "Python": """
        Annotated Any BaseModel ConfigDict Dict False Field List Literal None Optional Set True""",
    "JavaScript and browsers": """
        AbortController Array ArrayBuffer Atomics Attr Audio BigInt Blob Boolean Cache Clipboard Comment Credential
        CustomEvent DataView Date Document DocumentType Element Error Event EventSource EventTarget File FileList
        FileReader FormData Function Headers History Image Infinity Intl Iterator JSON Location Lock Map Math Module
        NaN Navigator Node NodeList Notification Number Object Option Performance Permissions Plugin Process Promise
        Proxy Range Reflect RegExp Report Request Response Screen Selection Set Storage String Symbol Text TextEncoder
        Touch Transform URL URLSearchParams WeakMap WeakRef WeakSet WebSocket Window Worker""",
    "TypeScript": """
        Awaited Capitalize ConstructorParameters Exclude Extract InstanceType Lowercase NoInfer NonNullable Omit
        Parameters Partial Pick Readonly ReadonlyArray Record Required ReturnType ThisType Uncapitalize Uppercase""",
    "runtime of typescript-axios and typescript-fetch": """
        ApiResponse AxiosInstance AxiosPromise BaseAPI BlobApiResponse Configuration ConfigurationParameters Consume
        ErrorContext FetchAPI FetchError FetchParams HTTPBody HTTPHeaders HTTPMethod HTTPQuery HTTPRequestInit
        InitOverrideFunction Json JSONApiResponse Middleware ModelPropertyNaming RawAxiosRequestConfig RequestArgs
        RequestContext RequestOpts RequiredError ResponseContext ResponseError ResponseTransformer TextApiResponse
        VoidApiResponse""",
    "Java and Kotlin": """
        AbstractMap Any AnyRef ApiCallback ApiClient ApiException ApiResponse Appendable Array Arrays AutoCloseable
        Boolean Byte Char Character CharSequence Class ClassLoader ClassValue Cloneable Collection Comparable Compiler
        Configuration Date Deprecated Double Enum Error Exception File Float Function Grouping HashMap HashSet
        IllegalArgumentException InputStream Int Integer Iterable Iterator JSON Lazy LinkedHashMap List ListIterator
        LocalDate Locale Long Map Math Module MutableList Nothing Number Object Objects OffsetDateTime Optional
        Override Package Pair Process ProcessBuilder ProcessHandle Readable Record Regex Result Runnable Runtime
        RuntimePermission SafeVarargs Scanner Sequence ServerConfiguration ServerVariable Set Short StackTraceElement
        StackWalker StrictMath String StringBuffer StringBuilder StringJoiner Suppress System Thread ThreadGroup
        ThreadLocal Throwable Throws Triple UByte UInt ULong Unit URI URL UShort UUID Void""",
    "C#": """
        Action Activator ApiClient ApiException ApiResponse AppContext AppDomain Array ArraySegment Attribute Base
        BitConverter Boolean Buffer Byte Char Collection Comparer Configuration Console Convert DataMember DataType
        DateOnly DateTime DateTimeOffset Decimal Delegate Dictionary Directory DisplayName Double Encoding Enum
        Enumerable Environment Exception File FileMode FileParameter FileStream Func Grouping Guid Half HashCode
        HashSet Host Hosting HttpClient HttpContent HttpMethod IList Index Int32 JsonConverter Key KeyValuePair Lazy
        LinkedList List Lock Lookup Math Memory Monitor Multimap Nullable Object OperatingSystem Option Parallel Path
        Predicate Progress Queue Random Range Regex Rune Sequence Single SortedList Span Stack Stream String
        StringBuilder Task Thread TimeOnly Timeout Timer TimeSpan Tuple Type Uri Utf8JsonReader ValidationContext
        ValidationResult Validator Version Void WeakReference""",
    "Go": """
        APIClient APIKey APIResponse BasicAuth Configuration GenericOpenAPIError MappedNullable ServerConfiguration
        ServerConfigurations ServerVariable""",
    "PHP": """
        abstract and ApiException array ArrayAccess ArrayIterator ArrayObject as Attribute bool break callable case
        catch class clone Closure Configuration const continue Countable DateInterval DatePeriod DateTime declare
        default Directory do echo else empty enum Error ErrorException eval Exception exit extends false Fiber final
        finally float fn for foreach function Generator global goto HeaderSelector if implements include instanceof
        insteadof int interface isset iterable Iterator list match mixed ModelInterface namespace never new null
        object ObjectSerializer Override parent print private protected public readonly require resource return self
        Serializable static stdClass string Stringable switch throw Throwable trait Traversable true try unset use var
        void WeakMap WeakReference while xor yield""",
    "Rust": """
        BasicAuth Box Clone ContentType Copy Debug Default Deserialize Drop Eq Err Error Fn FnMut FnOnce From Future
        Hash Into IntoIterator Iterator None Ok Option Ord PartialEq PartialOrd ResponseContent Result Self Send
        Serialize Sized Some String Sync ToString TryFrom TryInto UploadFile Value Vec""",
    "libraries for schemas": "Infer Schema Type Union ZodError ZodType",
}


@pytest.fixture(scope="module")
def document(session_app):
    return session_app.test_client().get("/openapi.json").json


def operations(document):
    return [item[verb] for item in document["paths"].values() for verb in VERBS if verb in item]


def pascal(text):
    """A name as the classes of clients have it: get_api_key as GetApiKey."""
    return "".join(word[:1].upper() + word[1:] for word in re.split("[^A-Za-z0-9]+", text))


def constant(word):
    """A value of an enum as Go has it: isEmpty as IS_EMPTY."""
    return re.sub("[^A-Z0-9]+", "_", re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", word).upper())


def problems(schemas, ids=(), tags=()):
    """What is wrong with the names of schemas, beside these operations and tags."""
    for language, words in TAKEN.items():
        taken = words.lower().split() if language == "PHP" else words.split()
        yield from (
            f"{name} is taken in {language}" for name in schemas if (name.lower() if language == "PHP" else name) in taken
        )
    for name, other in itertools.combinations(schemas, 2):
        if name.lower() == other.lower():
            yield f"{name} and {other} make one file, or one class in PHP"
    made = {f"{before}{name}": f"of {name}, in Go" for name in schemas for before in ("New", "Nullable", "NewNullable")}
    made |= {f"{pascal(id)}Request": f"of the operation {id}, in TypeScript" for id in ids}
    made |= {f"Api{pascal(id)}Request": f"of the operation {id}, in Go" for id in ids}
    made |= {f"{pascal(tag)}{end}": f"of the tag {tag}" for tag in tags for end in ("Api", "API", "APIService", "ApiInterface")}
    yield from (f"{name} is made {made[name]}" for name in schemas if name in made)
    seen = {}
    for name, schema in schemas.items():
        for word in map(constant, schema.get("enum", ())):
            if seen.setdefault(word, name) != name:
                yield f"{word} is a constant of {name} and of {seen[word]}, in Go"


def test_no_name_of_a_schema_is_taken(document):
    ids = [operation["operationId"] for operation in operations(document)]
    tags = [tag["name"] for tag in document["tags"]]
    assert list(problems(document["components"]["schemas"], ids, tags)) == []


@each(
    ("schemas", "problem"),
    [
        ({"Record": {}}, "Record is taken in TypeScript"),
        ({"Error": {}}, "Error is taken in Rust"),
        ({"Action": {}}, "Action is taken in C#"),
        ({"List": {}}, "List is taken in PHP"),
        ({"Key": {}, "NewKey": {}}, "NewKey is made of Key, in Go"),
        ({"GetKeyRequest": {}}, "GetKeyRequest is made of the operation get_key, in TypeScript"),
        ({"OptionListsApi": {}}, "OptionListsApi is made of the tag Option Lists"),
        ({"Keys": {}, "KEYS": {}}, "Keys and KEYS make one file, or one class in PHP"),
        ({"A": {"enum": ["isEmpty"]}, "B": {"enum": ["is-empty"]}}, "IS_EMPTY is a constant of B and of A, in Go"),
    ],
)
def test_a_name_that_is_taken_is_noticed(schemas, problem):
    assert problem in problems(schemas, ["get_key"], ["Option Lists"])


def test_names_are_such_as_every_language_has(document):
    for kind, components in document["components"].items():
        for name in components:
            assert re.fullmatch("[A-Z][A-Za-z0-9]+" if kind == "schemas" else "[A-Za-z_-]+", name), name
    ids = [operation["operationId"] for operation in operations(document)]
    assert [id for id in ids if not re.fullmatch("[a-z]+(_[a-z]+)+|login", id)] == []
    assert len({pascal(id) for id in ids}) == len(ids)
