"use strict";
// The bar: panels that open below it, the theme, and which baselines the whole page shows.

const page = { hidden: new Set(), redraw: [] };

page.make = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

// Keys go through `items()`, from `current()` on, and read the one that they come to.
page.walk = (element, steps, items, current, read) => {
  element.addEventListener("keydown", (event) => {
    const step = steps[event.key], all = items();
    if (!step || !all.length) return;
    event.preventDefault();
    const place = all.indexOf(current());
    read(all[place < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, place + step))]);
  });
};

page.whenResized = (element, redraw) => {
  let width = element.clientWidth;
  new ResizeObserver(() => {
    if (element.clientWidth !== width) { width = element.clientWidth; redraw(); }
  }).observe(element);
};

page.announce = (text) => { document.getElementById("announce").textContent = text; };

{
  const bar = document.getElementById("bar");
  const openers = [...bar.querySelectorAll("[aria-controls]")];
  const set = (opener, open) => {
    opener.setAttribute("aria-expanded", open);
    document.getElementById(opener.getAttribute("aria-controls")).hidden = !open;
  };
  const closeAll = () => openers.forEach((opener) => set(opener, false));
  for (const opener of openers) {
    opener.addEventListener("click", () => {
      const open = opener.getAttribute("aria-expanded") === "true";
      closeAll();
      set(opener, !open);
    });
  }
  document.addEventListener("keydown", (event) => {
    const open = openers.find((opener) => opener.getAttribute("aria-expanded") === "true");
    if (event.key !== "Escape" || !open) return;
    closeAll();
    open.focus();
  });
  document.addEventListener("click", (event) => {
    if (!bar.contains(event.target) || event.target.closest("#contents a")) closeAll();
    // What is folded opens when it is gone to.
    const goal = event.target.closest("a[href^='#']")?.getAttribute("href");
    if (goal?.length > 1) document.querySelector(`details.fold${goal}`)?.setAttribute("open", "");
  });

  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : system.matches;
  };
  const label = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  label();
}

{
  const boxes = [...document.querySelectorAll("#baselines input")];
  const count = document.getElementById("baseline-count");
  const show = () => {
    const shown = boxes.length - page.hidden.size;
    count.textContent = `${shown}/${boxes.length}`;
    count.setAttribute("aria-label", `${shown} of ${boxes.length} shown`);
  };
  const apply = () => {
    page.hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
    for (const element of document.querySelectorAll("[data-baseline]:not(.sortable tr)")) {
      element.hidden = page.hidden.has(element.dataset.baseline);
    }
    show();
    page.announce(`${boxes.length - page.hidden.size} of ${boxes.length} baselines shown`);
    page.redraw.forEach((redraw) => redraw());
  };
  boxes.forEach((box) => box.addEventListener("change", apply));
  for (const button of document.querySelectorAll("[data-baselines]")) {
    button.addEventListener("click", () => {
      boxes.forEach((box) => { box.checked = button.dataset.baselines === "all"; });
      apply();
    });
  }
  show();
}

page.addCopy = (holder) => {
  const text = holder.querySelector("code");
  const button = page.make("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      // Not every browser lets a page from disk write to the clipboard: select the text instead.
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    page.announce(button.textContent);
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  holder.append(button);
};
document.querySelectorAll(".copyable").forEach(page.addCopy);
