// The tabs pattern of the ARIA Authoring Practices, one panel a tab.

/** Calls `choose(panelId)` when a person takes another tab; returns what selects one. */
export function makeTabs(list, choose) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const panelOf = (tab) => tab.getAttribute("aria-controls");

  function select(panel) {
    for (const tab of tabs) {
      const isChosen = panelOf(tab) === panel;
      tab.setAttribute("aria-selected", isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
      document.getElementById(panelOf(tab)).hidden = !isChosen;
    }
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(panelOf(tab));
  });
  list.addEventListener("keydown", (event) => {
    const here = tabs.indexOf(document.activeElement);
    const last = tabs.length - 1;
    const places = {
      ArrowRight: here === last ? 0 : here + 1,
      ArrowLeft: here === 0 ? last : here - 1,
      Home: 0,
      End: last,
    };
    const tab = tabs[places[event.key]];
    if (!tab) return;
    event.preventDefault();
    tab.focus();
    choose(panelOf(tab));
  });
  return select;
}
