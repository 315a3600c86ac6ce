// Details of runs: made when their section is opened, from the data that stands in it.

{
  const entries = (pairs) => page.make("dl", { class: "entries" }, ...pairs.map(([name, value]) =>
    page.make("div", {}, page.make("dt", {}, name), page.make("dd", {}, value))));

  const resultsTable = (results) => {
    const head = page.make("tr", {}, ...results.header.map((text) => page.make("th", { scope: "col" }, text)));
    const lines = results.lines.map((line) => page.make("tr", {}, ...line.map((text, k) =>
      (k === 0 ? page.make("th", { scope: "row" }, text) : page.make("td", k > 1 ? { class: "number" } : {}, text)))));
    const caption = page.make("caption", { class: "unseen" }, "Results by seed");
    const table = page.make("table", {}, caption, page.make("thead", {}, head), page.make("tbody", {}, ...lines));
    return page.make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Results by seed" }, table);
  };

  const curves = (section, ids) => {
    const data = page.charts.dataOf(section), panel = data.panels[Number(section.dataset.panel)];
    const rows = ids.filter((id) => data.runs[id]).map((id) => ({ label: `seed ${data.runs[id].s}`, runs: [id] }));
    const part = rows.some((row) => data.runs[row.runs[0]].v) ? "v" : "t";
    const lines = page.charts.seriesOf(rows, data.runs, part);
    if (!lines.length) return [];
    const holder = page.make("div", { class: "chart" });
    const title = part === "v" ? panel.curve : "Training loss";
    return [holder, () => page.charts.curves(holder, lines, title, part === "v" ? panel.decimals : 3, lines)];
  };

  const run = (each) => {
    const parts = [page.make("h5", {}, `Seed ${each.seed}: ${each.status}`)];
    if (each.reason) parts.push(page.make("p", { class: "reason" }, each.reason));
    if (each.command) {
      const code = page.make("pre", { tabindex: "0", "aria-label": `Command of seed ${each.seed}` }, page.make("code", {}, each.command));
      const copyable = page.make("div", { class: "copyable" }, code);
      page.addCopy(copyable);
      parts.push(page.make("h6", {}, "The command that repeats it"), copyable);
    }
    for (const [title, pairs] of each.parts) parts.push(page.make("h6", {}, title), entries(pairs));
    return parts;
  };

  const fill = (section) => {
    if (section.querySelector(".detail")) return;
    const data = JSON.parse(section.querySelector("script").textContent);
    const [holder, drawCurves] = curves(section, data.curves);
    const detail = page.make("div", { class: "detail" });
    if (data.results.lines.length) detail.append(page.make("h5", {}, "Results by seed"), resultsTable(data.results));
    if (holder) detail.append(page.make("h5", {}, "Curves"), holder);
    for (const [title, pairs] of data.shared) detail.append(page.make("h5", {}, title), entries(pairs));
    for (const each of data.runs) detail.append(...run(each));
    section.append(detail);
    if (drawCurves) page.whenResized(section, drawCurves());
  };

  for (const section of document.querySelectorAll(".runs details")) {
    section.addEventListener("toggle", () => { if (section.open) fill(section); });
  }
  const openTarget = () => {
    const section = document.getElementById(location.hash.slice(1));
    if (!section?.matches(".runs details")) return;
    section.open = true;
    section.scrollIntoView();
    section.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", openTarget);
  openTarget();
}
