"""Headless Chromium, which knows the way to this service and to no other host, and what somebody does in it.

Where there is no Chromium, or no ChromeDriver of the same version, the tests that need it are skipped and say so.
"""

import json
import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

OPTIONS = [  # --no-sandbox: it needs rights that a container may not give, and what is opened here is our own
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"),
    "--host-resolver-rules=MAP localhost 127.0.0.1, MAP pim.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1400,1000",
]


@contextmanager
def chromium(profile):
    """Run the browser during the block, with a new profile in a folder."""
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("there is no Chromium, or no ChromeDriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for option in (*OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    started = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()


class Page:
    """A page in the browser."""

    def __init__(self, browser, url):
        self.browser, self.url = browser, url

    def load(self, address):
        """Load an address as if for the first time."""
        self.browser.get("about:blank")
        self.messages(), self.requests()
        self.browser.get(address)

    def wait(self, condition):
        """Wait for what is true; what is drawn anew while it is looked at is looked at again."""
        waiting = WebDriverWait(self.browser, 60, 0.1, [NoSuchElementException, StaleElementReferenceException])
        return waiting.until(lambda _: condition())

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector):
        """Return the text of what can be seen, as soon as there is some."""
        return self.wait(lambda: self.find(selector).text)

    def click(self, selector):
        self.wait(lambda: self.find(selector).is_displayed())
        self.find(selector).click()

    def run(self, script, *arguments):
        """Run JavaScript in the page."""
        return self.browser.execute_script(script, *arguments)

    def messages(self):
        """All that the console shows since somebody looked."""
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def requests(self):
        """The address of each thing that the page asked for since somebody looked; what it has in itself has none."""
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if urlsplit(url).scheme != "data"]


def host(url):
    return urlsplit(url).netloc
