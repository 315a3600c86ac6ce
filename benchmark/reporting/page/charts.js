// Charts: the comparison (rows that the template made), learning curves, and accuracy against cost.

page.charts = {};

{
  const svgElement = (tag, properties = {}, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };

  // --- scales ---

  const tickStep = (span, count) => {
    const rough = span / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * [1, 2, 5, 10].find((factor) => rough <= factor * power * 1.0001);
  };
  const ticks = (low, high, count, whole = false) => {
    const step = Math.max(tickStep(high - low || 1, count), whole ? 1 : 0);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(k * step);
    return { values: found, step, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  };
  const shortNumber = (value, digits, step) => {
    for (const [limit, unit, size] of [[1e9, "G", 1e9], [1e6, "M", 1e6], [1e4, "k", 1e3]]) {
      // As many digits as tell one tick from the next.
      if (Math.abs(value) >= limit) return `${(value / size).toFixed(Math.max(0, Math.ceil(Math.log10(size / step) - 1e-9)))}${unit}`;
    }
    return value.toFixed(digits);
  };
  const padded = (values, share) => {
    const low = Math.min(...values), high = Math.max(...values);
    const margin = (high - low) * share || Math.abs(high) * 0.1 || 1;
    return [low - margin, high + margin];
  };
  const pen = document.createElement("canvas").getContext("2d");
  const textWidth = (text) => {
    pen.font = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";
    return pen.measureText(text).width;
  };
  const withSign = (value, digits) => value.toFixed(digits).replace("-", "−");

  // --- comparison ---

  for (const chart of document.querySelectorAll(".comparison")) {
    const list = chart.querySelector("ul");
    const rows = [...list.children];
    const plot = chart.querySelector(".plot");
    const readout = chart.querySelector(".readout");
    const axis = chart.querySelector(".ticks");
    const number = (element, name) => {
      const text = element.style.getPropertyValue(name);
      return text === "" ? [] : [Number(text)];
    };
    const rescale = () => {
      const shown = rows.filter((row) => !row.hidden);
      const values = shown.flatMap((row) => [...row.querySelectorAll(".track > *")].flatMap((mark) => [...number(mark, "--x"), ...number(mark, "--to")]));
      if (values.length) {
        const [low, high] = padded(values, 0.04);
        chart.style.setProperty("--low", low);
        chart.style.setProperty("--high", high);
      }
      if (!chart.hidden && axis.clientWidth) {
        const low = Number(chart.style.getPropertyValue("--low")), high = Number(chart.style.getPropertyValue("--high"));
        const { values: marks, digits } = ticks(low, high, Math.min(8, axis.clientWidth / 60));
        axis.replaceChildren(...marks.map((value) => page.make("span", { style: `--x: ${value}` }, withSign(value, digits))));
      }
    };
    let current = null;
    const read = (row) => {
      current?.classList.remove("current");
      current = row;
      row?.classList.add("current");
      if (!row) { readout.textContent = ""; return; }
      const seeds = [...row.querySelectorAll(".seed")].map((seed) => `seed ${seed.dataset.seed}: ${seed.dataset.shown}`);
      readout.textContent = [row.querySelector(".label").textContent, row.querySelector(".value").textContent.replace(/\s+/g, " "), ...seeds].join("; ");
    };
    list.addEventListener("pointerover", (event) => { const row = event.target.closest("li"); if (row) read(row); });
    list.addEventListener("pointerleave", () => read(null));
    plot.addEventListener("blur", () => read(null));
    const shownRows = () => [...list.children].filter((row) => !row.hidden);
    page.walk(plot, { ArrowDown: 1, ArrowUp: -1 }, shownRows, () => current, (row) => {
      read(row);
      row.scrollIntoView({ block: "nearest" });
    });
    chart.querySelector("[data-order]").addEventListener("change", (event) => {
      const value = (row) => (row.dataset.mean === "" ? -Infinity : chart.dataset.best * row.dataset.mean);
      list.append(...(event.target.value === "mean" ? [...rows].sort((a, b) => value(b) - value(a)) : rows));
    });
    chart.addEventListener("show", rescale);
    // On paper there is nothing to choose: every panel stands there, with its ticks.
    const chosen = () => chart.closest("[data-task]").querySelector("select[id$='-comparison-panel']")?.value ?? "0";
    addEventListener("beforeprint", () => { chart.hidden = false; rescale(); });
    addEventListener("afterprint", () => { chart.hidden = chart.dataset.comparison !== chosen(); });
    new ResizeObserver(rescale).observe(axis);
    page.redraw.push(rescale);
  }
  for (const choice of document.querySelectorAll("select[id$='-comparison-panel']")) {
    choice.addEventListener("change", () => {
      for (const chart of choice.closest("[data-task]").querySelectorAll(".comparison")) {
        chart.hidden = chart.dataset.comparison !== choice.value;
        chart.dispatchEvent(new Event("show"));
      }
    });
  }

  // --- axes of curves and scatter ---

  const DASHES = ["none", "7 3", "2 2.5", "8 3 2 3", "13 4"];
  // A baseline's look comes with the data; seeds of one run take theirs by position.
  const look = (line, position) => ({ colour: `var(--line${line.look ? line.look[0] : position % 9})`, dash: DASHES[line.look ? line.look[1] : position % 5] });

  const frame = (width, height, x, y, xTitle, whole) => {
    const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const yTicks = ticks(y[0], y[1], height / 42), xTicks = ticks(x[0], x[1], width / 80, whole);
    const yLabels = yTicks.values.map((value) => withSign(value, yTicks.digits));
    const left = Math.ceil(Math.max(...yLabels.map(textWidth), 10)) + 14, right = width - 16, top = 8, bottom = height - 44;
    const px = (value) => left + ((value - x[0]) / (x[1] - x[0] || 1)) * (right - left);
    const py = (value) => bottom - ((value - y[0]) / (y[1] - y[0] || 1)) * (bottom - top);
    yTicks.values.forEach((value, k) => {
      svg.append(svgElement("line", { class: "grid", x1: left, x2: right, y1: py(value), y2: py(value) }));
      svg.append(svgElement("text", { x: left - 8, y: py(value) + 4, "text-anchor": "end" }, yLabels[k]));
    });
    for (const value of xTicks.values) {
      svg.append(svgElement("line", { class: "axis-line", x1: px(value), x2: px(value), y1: bottom, y2: bottom + 4 }));
      svg.append(svgElement("text", { x: px(value), y: bottom + 18, "text-anchor": "middle" }, shortNumber(value, xTicks.digits, xTicks.step)));
    }
    svg.append(svgElement("line", { class: "axis-line", x1: left, x2: right, y1: bottom, y2: bottom }));
    svg.append(svgElement("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, xTitle));
    return { svg, px, py, left, right, top, bottom };
  };

  // --- learning curves ---

  const epochsOf = (run, part) => run.e || run[part].map((_, k) => k + 1);
  const series = (rows, runs, part) => rows.map((row) => {
    const own = row.runs.map((id) => runs[id]).filter((run) => run && run[part]);
    const byEpoch = new Map(), lost = [];
    for (const run of own) {
      const points = epochsOf(run, part).map((epoch, k) => [epoch, run[part][k]]).filter((point) => point[1] !== null);
      if (!run.f) { if (points.length) lost.push({ seed: run.s, points }); continue; }
      for (const [epoch, value] of points) byEpoch.set(epoch, [...(byEpoch.get(epoch) || []), value]);
    }
    const points = [...byEpoch].sort((a, b) => a[0] - b[0]).map(([epoch, values]) => ({
      epoch, low: Math.min(...values), high: Math.max(...values), mean: values.reduce((a, b) => a + b, 0) / values.length, n: values.length,
    }));
    return { ...row, points, lost };
  }).filter((each) => each.points.length || each.lost.length);

  // Draws `lines` into `holder`; each has `points`, `lost`, a look and `key`, its checkbox's label.
  page.charts.curves = (holder, lines, title, digits, initial) => {
    const surface = page.make("div", { class: "surface", tabindex: "0", role: "group", "aria-label": `${title}, by epoch. Left and right arrows go from epoch to epoch and read the values.` });
    const legend = page.make("fieldset", { class: "legend" }, page.make("legend", {}, "Curves"));
    const checks = page.make("div", { class: "checks" });
    let epoch = null, cross = null, drawn = null;
    const visible = () => lines.filter((line) => !page.hidden.has(line.baseline));
    const active = () => visible().filter((line) => line.box.checked);
    const epochs = () => [...new Set(active().flatMap((line) => line.points.map((point) => point.epoch)))].sort((a, b) => a - b);

    const readAt = (chosen, aloud) => {
      epoch = chosen;
      const words = [];
      for (const line of lines) {
        const point = line.points.find((each) => each.epoch === epoch);
        const text = point && line.box.checked ? `${withSign(point.mean, digits)}${point.n > 1 ? ` (${withSign(point.low, digits)}–${withSign(point.high, digits)})` : ""}` : "";
        line.reading.textContent = text;
        if (text && !page.hidden.has(line.baseline)) words.push(`${line.label} ${text}`);
      }
      note.textContent = epoch === null ? "" : `Values at epoch ${epoch}: mean (lowest–highest seed).`;
      if (cross && epoch !== null) {
        cross.setAttribute("x1", drawn.px(epoch));
        cross.setAttribute("x2", drawn.px(epoch));
        cross.removeAttribute("visibility");
      }
      if (aloud) page.announce(`Epoch ${epoch}: ${words.join("; ")}`);
    };

    const draw = () => {
      const width = holder.clientWidth;
      if (!width) return;
      const now = active();
      const points = now.flatMap((line) => [...line.points.flatMap((p) => [[p.epoch, p.low], [p.epoch, p.high]]), ...line.lost.flatMap((run) => run.points)]);
      if (!points.length) {
        surface.replaceChildren(page.make("p", { class: "quiet" }, "No curve is chosen."));
        drawn = cross = null;
        return;
      }
      const last = Math.max(...points.map((p) => p[0])), first = Math.min(...points.map((p) => p[0]));
      const x = first === last ? [first - 0.5, last + 0.5] : [first, last];
      drawn = frame(width, Math.max(240, Math.min(420, width * 0.5)), x, padded(points.map((p) => p[1]), 0.04), "Epoch", true);
      const { svg, px, py, top, bottom } = drawn;
      const path = (pairs) => pairs.map(([a, b], k) => `${k ? "L" : "M"}${px(a).toFixed(1)} ${py(b).toFixed(1)}`).join("");
      for (const line of now) {
        if (line.points.some((p) => p.n > 1)) {
          const edge = [...line.points.map((p) => [p.epoch, p.high]), ...[...line.points].reverse().map((p) => [p.epoch, p.low])];
          svg.append(svgElement("path", { class: "band", d: `${path(edge)}Z`, style: `fill: ${line.colour}` }));
        }
      }
      for (const line of now) {
        const style = `stroke: ${line.colour}; stroke-dasharray: ${line.dash}`;
        if (line.points.length === 1) svg.append(svgElement("circle", { cx: px(line.points[0].epoch), cy: py(line.points[0].mean), r: 3.5, style: `fill: ${line.colour}` }));
        else if (line.points.length) svg.append(svgElement("path", { class: "curve", d: path(line.points.map((p) => [p.epoch, p.mean])), style }));
        for (const run of line.lost) {
          svg.append(svgElement("path", { class: "curve", d: path(run.points), style: `${style}; stroke-width: 1` }));
          const [a, b] = run.points[run.points.length - 1];
          svg.append(svgElement("path", { class: "curve", d: `M${px(a) - 4} ${py(b) - 4}l8 8m0-8l-8 8`, style: `stroke: ${line.colour}` }));
        }
      }
      cross = svgElement("line", { class: "cross", x1: 0, x2: 0, y1: top, y2: bottom, visibility: "hidden" });
      svg.append(cross);
      surface.replaceChildren(svg);
      const all = epochs();
      readAt(all.includes(epoch) ? epoch : all.length ? all[all.length - 1] : null);
    };
    const nearest = (event) => {
      const all = epochs();
      if (!drawn || !all.length) return;
      const box = surface.getBoundingClientRect();
      const at = event.clientX - box.left;
      readAt(all.reduce((a, b) => (Math.abs(drawn.px(b) - at) < Math.abs(drawn.px(a) - at) ? b : a)));
    };
    surface.addEventListener("pointermove", nearest);
    surface.addEventListener("pointerdown", nearest);
    const keys = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    page.walk(surface, keys, epochs, () => epoch, (chosen) => readAt(chosen, true));

    lines.forEach((line, position) => {
      Object.assign(line, look(line, position));
      line.box = page.make("input", { type: "checkbox", autocomplete: "off" });
      line.box.checked = initial.includes(line);
      line.box.addEventListener("change", draw);
      const swatch = svgElement("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" });
      swatch.append(svgElement("line", { x1: 1, x2: 25, y1: 6, y2: 6, "stroke-width": 2.2, style: `stroke: ${line.colour}; stroke-dasharray: ${line.dash}` }));
      line.reading = page.make("span", { class: "reading" });
      const name = line.lost.length ? `${line.label} (× diverged or failed: ${line.lost.length})` : line.label;
      const label = page.make("label", {}, line.box, swatch, page.make("span", {}, name), line.reading);
      if (line.baseline) label.dataset.baseline = line.baseline;
      label.hidden = page.hidden.has(line.baseline);
      checks.append(label);
    });
    const note = page.make("p", { class: "quiet" });
    legend.append(checks, note);
    if (lines.length > 8) {
      const setAll = (text, checked) => {
        const button = page.make("button", { type: "button" }, text);
        button.addEventListener("click", () => { lines.forEach((line) => { line.box.checked = checked; }); draw(); });
        return button;
      };
      legend.append(page.make("p", { class: "buttons" }, setAll("Show all curves", true), setAll("Hide all curves", false)));
    }
    holder.replaceChildren(page.make("p", { class: "chart-title" }, title), surface, legend);
    draw();
    return draw;
  };

  page.charts.seriesOf = series;

  // At first: the anchor and the best, as many as one can tell apart.
  const chosenAtFirst = (lines, best) => {
    if (lines.length <= 7) return lines;
    const ranked = [...lines].filter((line) => line.mean !== null).sort((a, b) => best * (b.mean - a.mean));
    const anchors = lines.filter((line) => line.anchor).slice(0, 1);
    return [...anchors, ...ranked.filter((line) => !anchors.includes(line)).slice(0, 6 - anchors.length)];
  };

  // --- accuracy against cost ---

  const MARKS = { method: "M0 -6l6 6l-6 6l-6 -6z", control: "M-4.5 -4.5h9v9h-9z", reference: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0" };

  page.charts.costs = (holder, panel) => {
    const axisChoice = page.make("select", { "aria-label": "Cost on the horizontal axis" }, ...panel.costs.map(([name, title]) => page.make("option", { value: name }, title)));
    const surface = page.make("div", { class: "surface", tabindex: "0", role: "group", "aria-label": `${panel.axis}, against cost. Left and right arrows go from baseline to baseline and read the values.` });
    const readout = page.make("p", { class: "readout" });
    let current = null, points = [], drawn = null;
    const words = (row) => {
      const [, title, digits] = panel.costs.find(([name]) => name === axisChoice.value);
      const interval = row.low === null ? "" : ` [${withSign(row.low, panel.decimals)}, ${withSign(row.high, panel.decimals)}]`;
      return `${row.label}: ${withSign(row.mean, panel.decimals)}${interval} (n = ${row.n}); ${title}: ${row.costs[axisChoice.value].toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
    };
    const read = (row, aloud) => {
      current = row;
      for (const mark of surface.querySelectorAll(".point")) mark.classList.toggle("current", mark.dataset.label === row?.label);
      readout.textContent = row ? words(row) : "";
      if (row && aloud) page.announce(readout.textContent);
    };
    const draw = () => {
      const width = holder.clientWidth, cost = axisChoice.value;
      if (!width) return;
      points = panel.rows.filter((row) => !page.hidden.has(row.baseline) && row.mean !== null && row.costs[cost] !== null).sort((a, b) => a.costs[cost] - b.costs[cost]);
      if (!points.length) {
        surface.replaceChildren(page.make("p", { class: "quiet" }, "No baseline to show."));
        return;
      }
      const title = panel.costs.find(([name]) => name === cost)[1];
      const y = padded([...points.flatMap((row) => [row.mean, row.low ?? row.mean, row.high ?? row.mean]), ...panel.teachers], 0.05);
      drawn = frame(width, Math.max(280, Math.min(480, width * 0.55)), padded(points.map((row) => row.costs[cost]), 0.05), y, title);
      const { svg, px, py, left, right, top, bottom } = drawn;
      for (const value of panel.teachers) svg.append(svgElement("line", { class: "teacher-line", x1: left, x2: right, y1: py(value), y2: py(value) }));
      for (const row of points) {
        const at = px(row.costs[cost]);
        if (row.low !== null) svg.append(svgElement("line", { class: "whisker", x1: at, x2: at, y1: py(row.low), y2: py(row.high), style: `stroke: ${look(row).colour}` }));
      }
      for (const row of points) {
        const mark = svgElement("path", { class: "point", d: MARKS[row.role], transform: `translate(${px(row.costs[cost])} ${py(row.mean)})`, style: `fill: ${look(row).colour}` });
        mark.dataset.label = row.label;
        svg.append(mark);
      }
      // Names stand beside their points as far as there is room; best ones first.
      const taken = points.map((row) => ({ x: px(row.costs[cost]) - 6, y: py(row.mean) - 6, w: 12, h: 12 }));
      const best = [...points].sort((a, b) => panel.best * (b.mean - a.mean));
      for (const row of best) {
        const w = textWidth(row.label) + 4, x0 = px(row.costs[cost]), y0 = py(row.mean);
        const places = [[x0 + 8, y0 - 8], [x0 - 8 - w, y0 - 8], [x0 - w / 2, y0 - 24], [x0 - w / 2, y0 + 8]];
        const free = places.find(([x, yy]) => x >= left && x + w <= right && yy >= top && yy + 16 <= bottom
          && !taken.some((box) => x < box.x + box.w && x + w > box.x && yy < box.y + box.h && yy + 16 > box.y));
        if (!free) continue;
        taken.push({ x: free[0], y: free[1], w, h: 16 });
        svg.append(svgElement("text", { class: "name", x: free[0] + 2, y: free[1] + 12 }, row.label));
      }
      surface.replaceChildren(svg, page.make("ul", { class: "unseen" }, ...points.map((row) => page.make("li", {}, words(row)))));
      read(points.includes(current) ? current : null);
    };
    surface.addEventListener("pointermove", (event) => {
      if (!drawn || !points.length) return;
      const box = surface.getBoundingClientRect();
      const far = (row) => Math.hypot(drawn.px(row.costs[axisChoice.value]) - (event.clientX - box.left), drawn.py(row.mean) - (event.clientY - box.top));
      read(points.reduce((a, b) => (far(b) < far(a) ? b : a)));
    });
    page.walk(surface, { ArrowRight: 1, ArrowLeft: -1 }, () => points, () => current, (row) => read(row, true));
    axisChoice.addEventListener("change", draw);
    const roles = [...new Set(panel.rows.map((row) => row.role).filter(Boolean))];
    const key = page.make("p", { class: "key", "aria-hidden": "true" }, ...roles.map((role) => {
      const svg = svgElement("svg", { viewBox: "-7 -7 14 14", style: "width: 0.9rem; height: 0.9rem" });
      svg.append(svgElement("path", { d: MARKS[role], style: "fill: var(--soft)" }));
      return page.make("span", {}, svg, role);
    }));
    if (panel.teachers.length) key.append(page.make("span", { class: "teacher-key level" }, "teacher"));
    holder.replaceChildren(page.make("p", { class: "field" }, axisChoice), page.make("p", { class: "chart-title" }, `${panel.axis}; bars: 95 % t interval from three seeds on`), key, surface, readout);
    draw();
    return draw;
  };

  // --- charts wait until they come into view ---

  const parsed = new WeakMap();
  page.charts.dataOf = (element) => {
    const script = element.closest("[data-task]").querySelector("script.charts");
    if (!parsed.has(script)) parsed.set(script, JSON.parse(script.textContent));
    return parsed.get(script);
  };

  const builders = [];
  addEventListener("beforeprint", () => builders.forEach((build) => build()));
  for (const holder of document.querySelectorAll("[data-chart]")) {
    const choice = holder.previousElementSibling.querySelector("select");
    let redraw = null;
    const build = () => {
      const data = page.charts.dataOf(holder), panel = data.panels[choice ? Number(choice.value) : 0];
      if (holder.dataset.chart === "curves") {
        const lines = series(panel.rows, data.runs, panel.part);
        redraw = page.charts.curves(holder, lines, panel.curve, panel.part === "v" ? panel.decimals : 3, chosenAtFirst(lines, panel.best));
      } else if (panel.costs.length) redraw = page.charts.costs(holder, panel);
      else {
        holder.replaceChildren(page.make("p", { class: "quiet" }, "No cost was measured in which the baselines differ."));
        redraw = null;
      }
    };
    const first = () => {
      if (redraw || holder.childElementCount) return;
      build();
      page.whenResized(holder, () => redraw?.());
    };
    builders.push(first);
    const whenSeen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      whenSeen.disconnect();
      first();
    }, { rootMargin: "400px" });
    whenSeen.observe(holder);
    choice?.addEventListener("change", build);
    page.redraw.push(() => redraw?.());
  }
}
