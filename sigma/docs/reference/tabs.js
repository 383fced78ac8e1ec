// The two views; which one is shown stands in the address, so that Back and a bookmark work.

const tabs = [...document.querySelectorAll("[role=tab]")];
const placeOf = (tab) => tab.id.replace("tab-", "");

function select(tab) {
  for (const one of tabs) {
    const isChosen = one === tab;
    one.setAttribute("aria-selected", String(isChosen));
    one.tabIndex = isChosen ? 0 : -1;
    document.getElementById(one.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

/** Let the tabs work; `open` shows one operation by its name. */
export function showTabs(open) {
  function follow() {
    const [place, name] = location.hash.slice(2).split("/");
    select(tabs.find((tab) => placeOf(tab) === place) ?? tabs[0]);
    if (place === "operation") open(name);
  }

  for (const [place, tab] of tabs.entries()) {
    const go = () => (location.hash = `/${placeOf(tab)}`);
    tab.addEventListener("click", go);
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
      const next = { Home: tabs[0], End: tabs.at(-1) }[key] ?? (step && tabs.at((place + step) % tabs.length));
      next?.focus();
      next?.click();
    });
  }
  addEventListener("hashchange", follow);
  follow();
}
