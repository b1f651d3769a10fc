"use strict";
// The page can be read without this script: it sorts tables and opens what is folded.

// A number that a cell begins with, such as "+11.0", "7.2 to 16.8" or "38.4 (+11.0*)".
const numberIn = text => parseFloat(text.replaceAll(",", "").match(/^[-+]?\d+(\.\d+)?/)?.[0] ?? "NaN");

for (const table of document.querySelectorAll("table.sorted")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const isName = head.classList.contains("name");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      // The first click shows names from A, numbers from the largest.
      const first = isName ? "ascending" : "descending";
      const second = isName ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const cell = row => row.cells[column].textContent.trim();
      const compare = (one, other) => {
        if (isName) return sign * cell(one).localeCompare(cell(other), "en", {numeric: true});
        const [a, b] = [numberIn(cell(one)), numberIn(cell(other))];
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b); // empty cells stand last
        return sign * (a - b);
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    });
  });
}

const folded = [...document.querySelectorAll("details")];
const openTarget = () => {
  const part = document.getElementById(decodeURIComponent(location.hash.slice(1)))?.querySelector("details");
  if (part) part.open = true;
};
addEventListener("hashchange", openTarget);
openTarget();
const button = document.getElementById("open-all");
button.hidden = !folded.length;
button.addEventListener("click", () => folded.forEach(part => { part.open = true; }));
