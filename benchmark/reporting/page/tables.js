// Tables: a click on a header sorts (numbers by value, empty cells last), a text filters the rows.

{
  const key = (row, column, numeric) => {
    const cell = row.cells[column];
    if (!numeric) return cell.textContent.trim().toLowerCase();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  };

  const makeSortable = (table) => {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const ruled = original.filter((row) => row.classList.contains("rule"));
    const sort = (column, direction) => {
      const numeric = heads[column].dataset.numeric === "yes" && original.some((row) => row.cells[column].dataset.value);
      const empty = (value) => value === null || value === "";
      const keyed = original.map((row) => ({ row, value: key(row, column, numeric) }));
      const full = keyed.filter((each) => !empty(each.value));
      full.sort((one, other) => direction * compare(one.value, other.value));
      return [...full, ...keyed.filter((each) => empty(each.value))].map((each) => each.row);
    };
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        // A number's first click shows the largest first; the third brings the table's own order back.
        const first = head.dataset.numeric === "yes" ? "descending" : "ascending";
        const second = first === "ascending" ? "descending" : "ascending";
        const now = head.getAttribute("aria-sort");
        const next = now === null ? first : now === first ? second : null;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        ruled.forEach((row) => row.classList.toggle("rule", !next));
        body.append(...(next ? sort(column, next === "ascending" ? 1 : -1) : original));
        page.announce(next ? `Sorted by ${head.textContent.trim()}, ${next}` : "In the table's own order");
      });
    });
  };

  for (const section of document.querySelectorAll(".tables")) {
    const field = section.querySelector("[data-filter]");
    const count = section.querySelector("[data-count]");
    const rows = [...section.querySelectorAll(".sortable tbody tr")];
    section.querySelectorAll(".sortable").forEach(makeSortable);
    const texts = new Map();
    const apply = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        if (words.length && !texts.has(row)) texts.set(row, row.textContent.toLowerCase());
        row.hidden = page.hidden.has(row.dataset.baseline) || !words.every((word) => texts.get(row).includes(word));
        shown += !row.hidden;
      }
      count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} rows`;
    };
    field.addEventListener("input", apply);
    page.redraw.push(apply);
  }

  // Paper does not scroll: a table wider than a page (its usual width in CSS pixels) is made smaller.
  const PAPER = 690;
  const wide = [...document.querySelectorAll(".scroll table")];
  const root = document.documentElement;
  addEventListener("beforeprint", () => {
    root.classList.add("paper");
    wide.forEach((table) => { table.style.zoom = Math.min(1, PAPER / table.scrollWidth); });
  });
  addEventListener("afterprint", () => {
    root.classList.remove("paper");
    wide.forEach((table) => { table.style.zoom = ""; });
  });
}
