"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const store = `dce_tf doctor ${data.id}`;
const chosen = new Set();
const cards = [];
let verdicts = {};

function make(name, options = {}, ...children) {
  const { dataset, ...rest } = options;
  const element = Object.assign(document.createElement(name), rest);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

// A browser may keep nothing for a file, or not let it ask.
function recall() {
  try {
    verdicts = JSON.parse(localStorage.getItem(store)) ?? {};
  } catch {
    verdicts = {};
  }
}

function keepVerdicts() {
  try {
    localStorage.setItem(store, JSON.stringify(verdicts));
  } catch {
    // They last until the page is closed.
  }
}

function figure(number, className) {
  const image = data.images[number];
  const shown = image.picture
    ? make("img", { src: `data:image/jpeg;base64,${image.picture}`, alt: image.path, loading: "lazy" })
    : make("span", { className: "none", textContent: "no picture" });
  const caption = make(
    "figcaption",
    {},
    make("strong", { textContent: image.label }),
    ` ${image.split} `,
    make("span", { className: "path", textContent: image.path }),
  );
  return make("figure", { className }, shown, caption);
}

function buttonsOf(finding, article) {
  const bar = make("div", { className: "verdicts" });
  if (!finding.paths.length) {
    bar.append(make("span", { className: "more", textContent: "Decide image by image in findings.csv." }));
    return bar;
  }
  const say = (verdict) => () => decide(finding.number, verdict);
  const name = make("input", { value: finding.relabel, placeholder: "class", hidden: true });
  name.setAttribute("aria-label", "New class");
  name.setAttribute("list", "classes");
  name.addEventListener("change", () => {
    if (name.value.trim()) decide(finding.number, `relabel=${name.value.trim()}`);
  });
  const relabel = make("button", { type: "button", textContent: "Relabel", dataset: { word: "relabel" } });
  relabel.addEventListener("click", () => {
    name.hidden = false;
    if (finding.relabel) decide(finding.number, `relabel=${name.value.trim() || finding.relabel}`);
    name.focus();
    name.select();
  });
  const keep = make("button", { type: "button", textContent: "Keep", dataset: { word: "keep" } });
  const drop = make("button", { type: "button", textContent: "Drop", dataset: { word: "drop" } });
  keep.addEventListener("click", say("keep"));
  drop.addEventListener("click", say("drop"));
  bar.append(keep, drop, relabel, name);
  const count = finding.paths.length;
  if (count > 1) bar.append(make("span", { className: "more", textContent: `for ${count} images` }));
  article.addEventListener("keydown", (event) => {
    if (event.target === name || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "r") {
      event.preventDefault();
      relabel.click();
    } else if (event.key === "k") decide(finding.number, "keep");
    else if (event.key === "d") decide(finding.number, "drop");
    else if (event.key === "u") decide(finding.number, "");
  });
  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "Escape") article.focus();
  });
  return bar;
}

function cardOf(finding) {
  const article = make("article", { tabIndex: 0, dataset: { number: finding.number } });
  const pictures = make("div", { className: "pictures" });
  for (const number of finding.rows) pictures.append(figure(number, "own"));
  for (const number of finding.others) pictures.append(figure(number, "other"));
  article.append(
    pictures,
    make("p", { className: "said", textContent: finding.text }),
    buttonsOf(finding, article),
  );
  const seen = [...finding.rows, ...finding.others].map((number) => data.images[number]);
  const words = seen.map((image) => `${image.path} ${image.label} ${image.split}`).join(" ");
  cards.push({ finding, article, words: `${words} ${finding.text}`.toLowerCase() });
  return article;
}

function decide(number, verdict) {
  if (verdict) verdicts[number] = verdict;
  else delete verdicts[number];
  keepVerdicts();
  show();
}

function show() {
  const wanted = find("filter").value.trim().toLowerCase();
  const open = find("open").checked;
  for (const { finding, article, words } of cards) {
    const verdict = verdicts[finding.number] ?? "";
    article.dataset.verdict = verdict;
    for (const button of article.querySelectorAll("button[data-word]")) {
      button.setAttribute("aria-pressed", verdict.split("=")[0] === button.dataset.word);
    }
    const isOf = !chosen.size || chosen.has(finding.kind);
    // What was just decided stays under the reader's eyes.
    const isOpen = !open || !verdict || article.contains(document.activeElement);
    article.hidden = !(isOf && isOpen && words.includes(wanted));
  }
  for (const section of document.querySelectorAll("main section")) {
    section.hidden = !section.querySelector("article:not([hidden])");
  }
  for (const button of find("kinds").children) {
    button.setAttribute("aria-pressed", chosen.has(button.dataset.kind));
  }
  const count = Object.keys(verdicts).length;
  find("decided").textContent = count ? `${count} of ${cards.length} decided` : "";
  find("download").disabled = !count;
}

function quoted(field) {
  return /[",\n\r]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

function download() {
  const lines = [["path", "finding", "score", "other_path", "class", "verdict"]];
  for (const { finding } of cards) {
    const verdict = verdicts[finding.number];
    if (!verdict) continue;
    for (const [path, label] of finding.paths) {
      lines.push([path, finding.kind, String(finding.score), finding.other, label, verdict]);
    }
  }
  const text = lines.map((line) => line.map(quoted).join(",") + "\n").join("");
  const link = make("a", {
    href: URL.createObjectURL(new Blob([text], { type: "text/csv" })),
    download: "verdicts.csv",
  });
  link.click();
  URL.revokeObjectURL(link.href);
}

function step(by) {
  const seen = cards.map((card) => card.article).filter((article) => !article.hidden);
  const here = seen.indexOf(document.activeElement.closest?.("article"));
  const next = seen[here < 0 ? 0 : Math.min(Math.max(here + by, 0), seen.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function fillScores() {
  const names = Object.keys(data.scores);
  if (names.length < 2) return;
  // The same as recall@1.
  const metrics = Object.keys(data.scores[names[0]].scores).filter((name) => name !== "precision@1");
  const head = make("tr", {}, ...["test", "queries", "gallery", ...metrics].map((text) => make("th", { textContent: text })));
  const rows = names.map((name) => {
    const { queries, gallery, scores } = data.scores[name];
    const cells = [name, queries, gallery, ...metrics.map((metric) => scores[metric].toFixed(4))];
    return make("tr", {}, ...cells.map((text) => make("td", { textContent: text })));
  });
  find("scores").querySelector("table").append(head, ...rows);
  find("scores").hidden = false;
}

function fill() {
  find("facts").textContent = data.facts;
  find("notes").append(...data.notes.map((text) => make("li", { textContent: text })));
  find("classes").append(...data.classes.map((name) => make("option", { value: name })));
  fillScores();
  for (const kind of data.kinds) {
    const button = make(
      "button",
      { type: "button", dataset: { kind: kind.name }, disabled: !kind.count },
      `${kind.title} `,
      make("b", { textContent: kind.count }),
    );
    button.addEventListener("click", () => {
      if (!chosen.delete(kind.name)) chosen.add(kind.name);
      show();
    });
    find("kinds").append(button);
    const own = data.findings.filter((finding) => finding.kind === kind.name);
    if (!own.length) continue;
    const more = kind.count - own.length;
    find("findings").append(
      make(
        "section",
        {},
        make("h2", { textContent: `${kind.title}: ${kind.count}` }),
        make("p", { className: "meaning", textContent: kind.meaning }),
        make("div", { className: "grid" }, ...own.map(cardOf)),
        make("p", { className: "more", textContent: more ? `… and ${more} more, in findings.csv.` : "" }),
      ),
    );
  }
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move) step(move);
  else if (event.key === "/") find("filter").focus();
  else return;
  event.preventDefault();
});
find("filter").addEventListener("input", show);
find("open").addEventListener("change", show);
find("download").addEventListener("click", download);
recall();
fill();
show();
