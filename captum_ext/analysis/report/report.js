// What moves in the report: choices, filters, the leaderboard's order. The page is readable without.
"use strict";

(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Choices: a panel is shown where none of its attributes differs from what is chosen.

  const chosen = {};

  function readChoices() {
    for (const select of all("[data-choice]")) {
      chosen[select.dataset.choice] ??= select.value;
    }
  }

  function showChosen() {
    for (const select of all("[data-choice]")) {
      select.value = chosen[select.dataset.choice];
    }
    for (const panel of all(".panel")) {
      panel.hidden = Object.entries(chosen).some(
        ([name, value]) => panel.dataset[name] !== undefined && panel.dataset[name] !== value,
      );
    }
    for (const input of all("input[data-filter='plates']")) {
      filterPlates(input);
    }
  }

  function choose(name, value) {
    chosen[name] = value;
    showChosen();
  }

  function step(button) {
    const select = document.querySelector(`select[data-choice="${button.dataset.of}"]`);
    const count = select.options.length;
    const next = (select.selectedIndex + Number(button.dataset.step) + count) % count;
    choose(button.dataset.of, select.options[next].value);
  }

  // Filters: by a part of a method's name, and by model.

  const matches = (element, text) =>
    element.dataset.text.toLowerCase().includes(text.trim().toLowerCase());

  function filterBoard() {
    const text = document.querySelector("input[data-filter='board']").value;
    const model = document.querySelector("select[data-filter-model]")?.value ?? "";
    const rows = all("#board tbody tr");
    for (const row of rows) {
      row.hidden = !matches(row, text) || (model !== "" && row.dataset.model !== model);
    }
    const shown = rows.filter((row) => !row.hidden).length;
    document.querySelector("output[data-count='board']").value =
      `${shown} of ${rows.length} rows`;
  }

  function filterPlates(input) {
    for (const map of all("#plates [data-text]")) {
      map.classList.toggle("filtered", !matches(map, input.value));
    }
  }

  // Order of the leaderboard: numbers by value, words by the alphabet, what is missing last.

  function sortBy(header, column) {
    const opposite = { ascending: "descending", descending: "ascending" };
    const order = opposite[header.getAttribute("aria-sort")] ?? header.dataset.first;
    for (const other of all("#board th[aria-sort]")) {
      other.setAttribute("aria-sort", other === header ? order : "none");
    }
    const sign = order === "ascending" ? 1 : -1;
    const words = header.classList.contains("name");
    const compare = (one, other) => (words ? one.localeCompare(other) : one - other);
    const value = (row) => row.cells[column].dataset.value;
    const body = document.querySelector("#board tbody");
    const rows = all("tr", body).sort((first, second) => {
      const [one, other] = [value(first), value(second)];
      if (one === "" || other === "") {
        return (one === "") - (other === "");
      }
      return sign * compare(one, other);
    });
    body.append(...rows);
  }

  // The columns of sortable headers: those over several rows stand at both ends.
  function sortableHeaders() {
    const [top, bottom] = all("#board thead tr");
    const outer = all("th[aria-sort]", top);
    const before = outer.filter((th) => th.classList.contains("name"));
    const after = outer.filter((th) => !th.classList.contains("name"));
    return [...before, ...all("th[aria-sort]", bottom), ...after];
  }

  document.documentElement.classList.add("scripted");
  readChoices();
  for (const select of all("[data-choice]")) {
    select.addEventListener("change", () => choose(select.dataset.choice, select.value));
  }
  for (const button of all("button[data-step]")) {
    button.addEventListener("click", () => step(button));
  }
  for (const input of all("input[data-filter='board']")) {
    input.addEventListener("input", filterBoard);
  }
  for (const select of all("[data-filter-model]")) {
    select.addEventListener("change", filterBoard);
  }
  for (const input of all("input[data-filter='plates']")) {
    input.addEventListener("input", () => filterPlates(input));
  }
  sortableHeaders().forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => sortBy(header, column));
  });
  showChosen();
  filterBoard();
})();
