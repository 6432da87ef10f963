"use strict";
(() => {
  const root = document.documentElement;

  // The theme: the system's, until the button says otherwise. Some browsers keep nothing for a page from a file.
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("clearctl-theme", value);
      return localStorage.getItem("clearctl-theme");
    } catch { return null; }
  };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  const kept = stored();
  if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored(root.dataset.theme);
    label();
  });
  system.addEventListener("change", label);
  button.hidden = false;
  label();

  // The summary sorts by a column: numbers as numbers, and what has no value last, either way.
  const table = document.getElementById("summary");
  const headings = [...table.tHead.rows[1].cells];
  const body = table.tBodies[0];
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, undefined, { numeric: true }) : x - y;
  };
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const first = heading.dataset.first ?? "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const by = (row) => row.cells[column].dataset.by;
      const rows = [...body.rows].sort((a, b) => {
        if (by(a) === undefined || by(b) === undefined) return (by(a) === undefined) - (by(b) === undefined);
        return sign * compare(by(a), by(b));
      });
      body.append(...rows);
    });
  });

  // A group that is gone to is opened, and all of them are on paper.
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", open);
  open();
  document.querySelectorAll('#summary a').forEach((link) => link.addEventListener("click", () => {
    document.getElementById(link.hash.slice(1)).open = true;
  }));
  const groups = [...document.querySelectorAll("details.group")];
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = groups.filter((group) => !group.open);
    folded.forEach((group) => { group.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((group) => { group.open = false; }));
})();
