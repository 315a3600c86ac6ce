// What a reader of the page would stumble over; each check returns a line for every fault.

const shown = (element) => !element.closest("script, style, noscript, option, .unseen, .skip") && element.checkVisibility();
const scrolls = (style) => [style.overflowX, style.overflowY].some((way) => ["auto", "scroll"].includes(way));

// Text that the viewport, its drawing or an ancestor cuts off.
const clipped = () => {
  const found = [];
  const inside = (inner, outer) => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
    && inner.top >= outer.top - 2 && inner.bottom <= outer.bottom + 2;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    if (!text || !shown(node.parentElement)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    let within = false;
    for (let up = node.parentElement; up && up !== document.documentElement && !within; up = up.parentElement) {
      const style = getComputedStyle(up);
      within = scrolls(style);
      const cuts = up.tagName === "svg" || ["hidden", "clip"].includes(style.overflowX);
      if (!within && cuts && !inside(box, up.getBoundingClientRect())) found.push(text);
    }
    if (!box.width || (!within && (box.left < -1 || box.right > innerWidth + 1))) found.push(text);
  }
  for (const field of document.querySelectorAll("button, select")) {
    if (field.checkVisibility() && field.scrollWidth > field.clientWidth + 1) found.push(field.textContent.trim());
  }
  return found;
};

// Words of one drawing that lie on each other.
const overlapping = () => {
  const found = [];
  for (const drawing of document.querySelectorAll("svg, .ticks")) {
    const words = [...drawing.querySelectorAll("text, span")].map((word) => [word.textContent, word.getBoundingClientRect()]);
    words.forEach(([one, a], k) => words.slice(k + 1).forEach(([other, b]) => {
      const meet = a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2;
      if (a.width && b.width && meet) found.push(`${one} / ${other}`);
    }));
  }
  return found;
};

// Text whose contrast with the ground behind it is below WCAG's AA: 4.5, or 3 for large text.
const faint = () => {
  const parse = (text) => {
    const [red, green, blue, alpha = 1] = text.match(/[\d.]+/g).map(Number);
    return { rgb: [red, green, blue], alpha };
  };
  const luminance = (rgb) => {
    const linear = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const found = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.textContent.trim()).join("");
    if (!text || !shown(element)) continue;
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    let ground = parse(getComputedStyle(document.body).backgroundColor);
    for (let up = element; up; up = up.parentElement) {
      const behind = parse(getComputedStyle(up).backgroundColor);
      if (behind.alpha === 1) { ground = behind; break; }
    }
    const [light, dark] = [luminance(ink.rgb), luminance(ground.rgb)].sort((one, other) => other - one);
    const ratio = (light + 0.05) / (dark + 0.05), size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < needed) found.add(`${ratio.toFixed(2)}: ${text.slice(0, 60)}`);
  }
  return [...found];
};
