"use strict";
(() => {
  // Whatever is in the data is put into the page as text, never as markup.
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("page");

  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "style") Object.assign(node.style, value);
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value !== undefined) node.setAttribute(name, value);
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined) node.append(child);
    }
    return node;
  }
  const make = (name, attributes = {}, ...children) =>
    fill(document.createElement(name), attributes, children);
  const draw = (name, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

  function bytes(count) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    let value = count;
    while (Math.abs(value) >= 1000 && unit < units.length - 1) {
      value /= 1000;
      unit++;
    }
    return `${unit && Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
  }
  const signed = (count) => (count > 0 ? "+" : "") + bytes(count);
  const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

  function section(id, title, ...children) {
    main.append(make("section", { id }, make("h2", {}, title), ...children));
  }
  function rest(name) {
    const count = data[`${name} left out`];
    return count ? make("p", {}, `${plural(count, "row does", "rows do")} not fit on this page; compos report --json has them.`) : null;
  }
  // A column is [title, cell]; a cell is a text, or [text, class], or a node.
  function cell(title, value) {
    if (value instanceof Node) return value;
    const [text, kind] = Array.isArray(value) ? value : [value, ""];
    const shown = text === null || text === undefined ? "" : String(text);
    return make("td", { class: `${kind} ${shown ? "" : "empty"}`.trim() || undefined, "data-name": title }, shown);
  }
  function table(columns, rows) {
    const head = columns.map(([title, , kind]) => make("th", { scope: "col", class: kind }, title));
    const body = rows.map((row) => make("tr", {}, columns.map(([title, value]) => cell(title, value(row)))));
    return make("div", { class: "scroll" }, make("table", { class: "wide" },
      make("thead", {}, make("tr", {}, head)), make("tbody", {}, body)));
  }
  const number = (text) => [text, "number"];

  // The treemap: squarified (Bruls, Huizing, van Wijk, "Squarified Treemaps").
  function squarify(items, x, y, width, height) {
    const placed = [];
    let total = items.reduce((sum, item) => sum + item[1], 0);
    let start = 0;
    while (start < items.length && width > 0 && height > 0 && total > 0) {
      const side = Math.min(width, height);
      const scale = (width * height) / total;
      let sum = 0;
      let end = start;
      let worst = Infinity;
      while (end < items.length) {
        const next = sum + items[end][1];
        const band = (next * scale) / side;
        const last = (items[end][1] * scale) / band;
        const first = (items[start][1] * scale) / band;
        const ratio = Math.max(first / band, band / last, band / first, last / band);
        if (ratio > worst) break;
        worst = ratio;
        sum = next;
        end++;
      }
      const band = (sum * scale) / side;
      let at = 0;
      for (let number = start; number < end; number++) {
        const length = (items[number][1] * scale) / band;
        placed.push(width >= height
          ? [items[number], x, y + at, band, length]
          : [items[number], x + at, y, length, band]);
        at += length;
      }
      if (width >= height) { x += band; width -= band; } else { y += band; height -= band; }
      total -= sum;
      start = end;
    }
    return placed;
  }

  const crumbs = make("nav", { class: "crumbs", "aria-label": "Place in the treemap" });
  const map = make("div", { class: "map", id: "map", role: "group" });
  let trail = [data.map];
  const name = (node) => node[0] === null ? plural(node[2], "smaller file", "smaller files") : node[0] || "the system";
  const isFolder = (node) => node[0] !== null && Array.isArray(node[2]);

  function hue(text) {
    let value = 7;
    for (const letter of text) value = (value * 31 + letter.codePointAt(0)) % 3600;
    return value % 360;
  }
  function tile([node, x, y, width, height], total, color) {
    const label = `${name(node)}, ${bytes(node[1])}, ${(100 * node[1] / total).toFixed(1)} %`;
    const box = make(isFolder(node) ? "button" : "div", {
      class: "tile", title: label, "aria-label": label, tabindex: isFolder(node) ? 0 : -1,
      role: isFolder(node) ? undefined : "img",
      style: { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px`, backgroundColor: color },
      onclick: isFolder(node) ? () => enter(node) : () => {},
    });
    const roomy = width > 36 && height > 20;
    if (isFolder(node) && width > 60 && height > 60) {
      for (const [, a, b, c, d] of squarify(node[2].slice(0, 40), 3, 38, width - 8, height - 43)) {
        box.append(make("i", { class: "inner", style: { left: `${a}px`, top: `${b}px`, width: `${Math.max(1, c - 2)}px`, height: `${Math.max(1, d - 2)}px` } }));
      }
    }
    if (roomy) box.append(make("span", {}, name(node)));
    if (roomy && height > 36) box.append(make("span", { class: "size" }, bytes(node[1])));
    return box;
  }
  function show(focused) {
    const here = trail[trail.length - 1];
    crumbs.replaceChildren(...trail.flatMap((node, depth) => [
      depth ? make("span", { "aria-hidden": "true" }, "/") : null,
      make("button", { disabled: depth === trail.length - 1 ? "" : undefined, onclick: () => leave(depth) },
        `${name(node)} (${bytes(node[1])})`),
    ].filter(Boolean)));
    const children = Array.isArray(here[2]) ? here[2] : [];
    map.setAttribute("aria-label", `Sizes in ${name(here)}: ${plural(children.length, "tile", "tiles")}`);
    const base = trail.length > 1 ? hue(trail[1][0]) : null;
    const tiles = squarify(children, 0, 0, map.clientWidth, map.clientHeight).map((placed, number) => {
      const own = base === null ? hue(name(placed[0])) : base + (number % 7) * 9;
      return tile(placed, here[1], `hsl(${own} ${placed[0][0] === null ? 6 : 42}% var(--tile))`);
    });
    map.replaceChildren(...tiles);
    if (focused !== undefined) (tiles[focused] || map.querySelector("button") || crumbs.querySelector("button")).focus();
  }
  function enter(node) {
    trail.push(node);
    show(0);
  }
  function leave(depth) {
    if (depth < 0 || depth >= trail.length - 1) return;
    const left = trail[depth + 1];
    trail = trail.slice(0, depth + 1);
    show(Math.max(0, trail[depth][2].indexOf(left)));
  }
  map.addEventListener("keydown", (event) => {
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape" || event.key === "Backspace") {
      leave(trail.length - 2);
    } else if (direction) {
      const from = document.activeElement.getBoundingClientRect();
      let best = null;
      let least = Infinity;
      for (const other of map.querySelectorAll(".tile")) {
        const to = other.getBoundingClientRect();
        const dx = to.left + to.width / 2 - from.left - from.width / 2;
        const dy = to.top + to.height / 2 - from.top - from.height / 2;
        const along = dx * direction[0] + dy * direction[1];
        const across = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
        if (other !== document.activeElement && along > 0 && along + 2 * across < least) {
          least = along + 2 * across;
          best = other;
        }
      }
      if (best) best.focus();
    } else {
      return;
    }
    event.preventDefault();
  });

  function timeline(stages) {
    const end = Math.max(...stages.map((stage) => stage[2]), 0.001);
    const rows = stages.flatMap(([title, from, to]) => [
      make("span", { class: "name" }, title),
      make("div", { role: "img", "aria-label": `${title}: from ${from.toFixed(2)} to ${to.toFixed(2)} seconds` },
        make("i", { class: title.startsWith("service ") ? "service" : undefined,
          style: { left: `${100 * from / end}%`, width: `${100 * Math.max(0, to - from) / end}%` } })),
      make("span", { class: "number" }, `${to.toFixed(2)} s`),
    ]);
    return make("div", { class: "time" }, rows);
  }

  function graph(containers) {
    const services = containers.filter((one) => one[0] === "services");
    const known = new Map(services.map((one) => [one[1], one]));
    const joined = new Set(services.filter((one) => one[3].length).flatMap((one) => [one[1], ...one[3].map((need) => need[0])]));
    const names = [...joined].filter((one) => known.has(one)).slice(0, 150);
    if (!names.length) return make("p", {}, "No service depends on another one.");
    const needs = (one) => known.get(one)[3].filter((need) => names.includes(need[0]));
    const levels = new Map();
    function level(one, path) {
      if (path.includes(one)) return 0;
      if (!levels.has(one)) levels.set(one, Math.max(-1, ...needs(one).map((need) => level(need[0], [...path, one]))) + 1);
      return levels.get(one);
    }
    names.forEach((one) => level(one, []));
    // What leads over several columns keeps its row free in those between.
    const taken = new Set();
    const at = new Map();
    const mean = (one) => {
      const above = needs(one).filter((need) => at.has(need[0])).map((need) => at.get(need[0])[1]);
      return above.length ? above.reduce((sum, row) => sum + row, 0) / above.length : 0;
    };
    const columns = Math.max(...levels.values()) + 1;
    let rows = 0;
    for (let column = 0; column < columns; column++) {
      const here = names.filter((one) => levels.get(one) === column).map((one) => [mean(one), one]);
      here.sort((one, other) => one[0] - other[0]);
      for (const [wanted, one] of here) {
        let row = Math.round(wanted);
        for (let step = 1; taken.has(`${column} ${row}`) || row < 0; step++) row += step % 2 ? step : -step;
        const last = Math.max(column, ...names.filter((other) => needs(other).some((need) => need[0] === one)).map((other) => levels.get(other) - 1));
        for (let between = column; between <= last; between++) taken.add(`${between} ${row}`);
        at.set(one, [column, row]);
        rows = Math.max(rows, row + 1);
      }
    }
    for (const [one, [column, row]] of at) at.set(one, [10 + column * 250, 10 + row * 46]);
    const width = columns * 250 - 40;
    const height = 12 + rows * 46;
    const lines = names.flatMap((one) => needs(one).map(([other, condition]) => {
      const [x, y] = at.get(one);
      const [u, v] = at.get(other);
      const tip = draw("path", { class: "tip", d: `M${x} ${y + 16}l-8 -4v8z` });
      const line = draw("path", { d: `M${u + 180} ${v + 16}H${x - 66}C${x - 36} ${v + 16} ${x - 36} ${y + 16} ${x - 6} ${y + 16}` },
        draw("title", {}, `${one} waits until ${other} is ${condition}`));
      return [line, tip];
    }));
    const boxes = names.map((one) => {
      const [x, y] = at.get(one);
      return draw("g", {}, draw("rect", { x, y, width: 180, height: 32, rx: 4 }, draw("title", {}, one)),
        draw("text", { x: x + 9, y: y + 21 }, one.length > 24 ? `${one.slice(0, 23)}\u2026` : one));
    });
    const spoken = names.flatMap((one) => needs(one).map((need) => `${one} after ${need[0]} (${need[1]})`)).join("; ");
    return make("div", { class: "graph", tabindex: 0, role: "region", "aria-label": "Graph of services" },
      draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken }, lines.flat(), boxes));
  }

  function packages(rows) {
    const place = make("div");
    const count = make("p", { "aria-live": "polite" });
    const texts = rows.map((row) => row.join(" ").toLowerCase());
    const search = make("input", { type: "search", placeholder: "Search packages, versions, images", "aria-label": "Search packages", id: "search", oninput: list });
    function list() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = rows.filter((row, number) => words.every((word) => texts[number].includes(word)));
      count.textContent = `${plural(found.length, "package", "packages")} of ${rows.length.toLocaleString("en")}${found.length > 300 ? ", the first 300 of them" : ""}`;
      place.replaceChildren(table([
        ["package", (row) => row[0]], ["version", (row) => row[1]], ["kind", (row) => row[2]], ["in", (row) => row[3]],
      ], found.slice(0, 300)));
    }
    list();
    return [search, count, place];
  }

  const sign = (row) => row[1] === null ? ["+", "added short"] : row[2] === null ? ["\u2212", "gone short"] : ["~", "short"];
  function changed(rows) {
    return table([
      ["", sign], ["what", (row) => row[0]], ["before", (row) => row[1]], ["now", (row) => row[2]],
    ], rows);
  }

  const packed = data.parts.reduce((sum, part) => sum + part[4], 0);
  const figure = (value, title) => make("div", {}, make("b", {}, value), make("span", {}, title));
  main.replaceChildren(make("header", {},
    make("h1", {}, data.name), make("p", {}, data.architecture, data.cmdline ? " \u00b7 " : "", make("code", {}, data.cmdline)),
    make("div", { class: "figures" },
      figure(bytes(packed), "compressed"), figure(bytes(data.map[1]), "unpacked"),
      figure(data.files.toLocaleString("en"), "files"),
      figure((data.containers.length + data["containers left out"]).toLocaleString("en"), "containers"),
      figure((data.packages.length + data["packages left out"]).toLocaleString("en"), "packages"),
      data.boot.length ? figure(`${Math.max(...data.boot.map((stage) => stage[2])).toFixed(1)} s`, "boot") : null)));

  section("sizes", "Sizes", make("p", {}, "Enter a part with a click or Enter; leave it with Escape. Arrow keys move between tiles."), crumbs, map);
  const largest = Math.max(1, ...data.parts.map((part) => part[4]));
  section("parts", "Parts", table([
    ["part", (row) => row[0]], ["from", (row) => row[1]],
    ["files", (row) => number(row[2].toLocaleString("en")), "number"], ["size", (row) => number(bytes(row[3])), "number"],
    ["compressed", (row) => number(bytes(row[4])), "number"],
    ["", (row) => make("td", { class: "bar empty" }, make("i", { style: { width: `${100 * row[4] / largest}%` } }))],
  ], data.parts), rest("parts"));
  if (data.boot.length) section("boot", "Boot", timeline(data.boot), rest("boot"));
  const linked = data.containers.filter((one) => one[3].length).length;
  if (data.containers.length) section("services", "Services", graph(data.containers),
    linked > 149 ? make("p", {}, "The graph has the first 150 services.") : null, rest("containers"));
  if (data.powers.length) {
    const yes = (value) => value ? "yes" : "";
    section("powers", "Powers", table([
      ["containers", (row) => row[0]], ["user", (row) => [row[1], "short"]],
      ["capabilities", (row) => row[2] === "all" || /SYS_ADMIN|SYS_MODULE|SYS_RAWIO/.test(row[2]) ? [row[2], "strong names"] : [row[2], "names"]],
      ["shares the machine's", (row) => row[3]],
      ["system calls", (row) => row[4] ? ["filtered", "short"] : ["all", "strong short"]],
      ["no new privileges", (row) => [yes(row[5]), "short"]], ["read-only", (row) => [yes(row[6]), "short"]],
      ["masked paths", (row) => number(row[7]), "number"], ["devices", (row) => row[8]], ["binds", (row) => [row[9], "paths"]],
    ], data.powers), rest("powers"));
  }
  if (data["not compared"]) section("changes", "What has changed", make("p", {}, data["not compared"]));
  if (data.compared !== null) {
    const parts = [["settings", "Configuration"], ["powers", "Powers"], ["packages", "Packages"]]
      .flatMap(([key, title]) => data[`changed ${key}`].length ? [make("h3", {}, title), changed(data[`changed ${key}`]), rest(`changed ${key}`)] : []);
    const sizes = data["changed sizes"];
    if (sizes.length) parts.push(make("h3", {}, "Sizes"), table([
      ["part", (row) => row[0]], ["change", (row) => [signed((row[2] || 0) - (row[1] || 0)), "number"], "number"],
    ], sizes), rest("changed sizes"));
    const files = data["changed files"];
    if (files.length) parts.push(make("h3", {}, "Files"), table([
      ["", sign], ["file", (row) => `/${row[0]}`], ["what", (row) => row[3]],
      ["size", (row) => [signed((row[2] || 0) - (row[1] || 0)), "number"], "number"],
    ], files), rest("changed files"));
    section("changes", "What has changed", make("p", {}, `Since ${data.compared}:${parts.length ? "" : " nothing."}`), ...parts,
      data.notes.map((note) => make("p", {}, note)));
  }
  if (data.updates) section("updates", "Security updates", ...(data.updates.length ? [table([
    ["image", (row) => row[0]], ["package", (row) => row[1] || ["not known what is in it", "strong"]],
    ["version", (row) => row[2]], ["now there is", (row) => row[3]],
  ], data.updates), rest("updates")] : [make("p", {}, "None is outstanding.")]));
  if (data.packages.length) section("packages", "Packages", ...packages(data.packages), rest("packages"));
  if (data.duplicates.length) section("duplicates", "There more than once", table([
    ["file", (row) => `/${row[3]}`], ["and", (row) => `/${row[4]}`], ["times", (row) => number(row[2]), "number"],
    ["size", (row) => number(bytes(row[0])), "number"], ["wasted", (row) => number(bytes(row[1])), "number"],
  ], data.duplicates.slice(0, 50)), rest("duplicates"));
  if (data.modules.length) section("modules", "Kernel modules and firmware", table([
    ["module", (row) => row[0]], ["size", (row) => number(bytes(row[1])), "number"], ["why", (row) => row[2]],
  ], data.modules), rest("modules"));
  if (data.images.length) section("images", "Images", table([
    ["image", (row) => row[0]], ["digest", (row) => make("td", { "data-name": "digest" }, make("code", {}, row[1].slice(0, 19)))],
    ["layers", (row) => row[2].map(bytes).join(", ")], ["used by", (row) => row[3]],
  ], data.images), rest("images"));

  show();
  let width = map.clientWidth;
  new ResizeObserver(() => {
    if (map.clientWidth !== width) {
      width = map.clientWidth;
      show();
    }
  }).observe(map);
  addEventListener("beforeprint", () => show());
  document.documentElement.dataset.ready = "yes";
})();
