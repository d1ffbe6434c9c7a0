// Which records count: the label, and conditions on metadata, as the server's filter.

import { byId, make } from "./elements.js";

const OPERATORS = {
  $eq: "is",
  $ne: "is not",
  $lt: "<",
  $lte: "≤",
  $gt: ">",
  $gte: "≥",
  $in: "is one of",
};

/** Makes the controls; `change(filter)` is called when a person changes them. */
export function makeFilters(change) {
  const label = byId("label");
  const list = byId("conditions");
  const add = byId("add-condition");
  let fields = [];

  const told = () => change(current());
  label.addEventListener("change", () => {
    for (const row of rowsAbout("label", "$eq")) row.remove();
    told();
  });
  list.addEventListener("change", (event) => {
    const row = event.target.closest("li");
    const [field, operator] = readCondition(row)[0] ?? [];
    for (const other of rowsAbout(field, operator)) if (other !== row) other.remove();
    if (field === "label" && operator === "$eq") label.value = "any";
    told();
  });
  add.addEventListener("click", () => {
    list.append(condition("", "$eq", ""));
    list.lastChild.querySelector("select").focus();
  });

  /** Offers the labels and fields of a collection. */
  function offer(collection) {
    const { labels } = collection;
    fields = ["label", ...collection.fields];
    byId("label-setting").hidden = !labels.length;
    const any = make("option", { value: "any" }, "Any");
    label.replaceChildren(any, ...labels.map(labelOption));
  }

  /** Shows a filter, whoever wrote it. */
  function show(filter) {
    const rows = [];
    let chosen = "any";
    for (const [field, wanted] of Object.entries(filter)) {
      const operators = isObject(wanted) ? wanted : { $eq: wanted };
      for (const [operator, value] of Object.entries(operators)) {
        const isChoice = field === "label" && operator === "$eq";
        if (isChoice && typeof value === "string") chosen = `=${value}`;
        else rows.push(condition(field, operator, asText(operator, value)));
      }
    }
    label.value = chosen;
    if (label.value !== chosen) {
      label.append(labelOption(chosen.slice(1)));
      label.value = chosen;
    }
    if (JSON.stringify(current()) !== JSON.stringify(filter))
      list.replaceChildren(...rows);
    byId("filter-count").textContent = rows.length ? `(${rows.length})` : "";
    if (rows.length) byId("filters").open = true;
  }

  // A filter has one value for each field and operator: the last that was chosen.
  function rowsAbout(field, operator) {
    return [...list.children].filter((row) => {
      const [known] = readCondition(row);
      return known && known[0] === field && known[1] === operator;
    });
  }

  function current() {
    const conditions = [...list.children].flatMap(readCondition);
    if (label.value.startsWith("=")) {
      conditions.unshift(["label", "$eq", label.value.slice(1)]);
    }
    const filter = {};
    for (const [field, operator, value] of conditions) {
      filter[field] = { ...filter[field], [operator]: value };
    }
    for (const [field, operators] of Object.entries(filter)) {
      const isPlain = Object.keys(operators).join() === "$eq";
      if (isPlain) filter[field] = operators.$eq;
    }
    return filter;
  }

  function condition(field, operator, text) {
    const names = fields.includes(field) || !field ? fields : [...fields, field];
    const row = make(
      "li",
      {},
      chooser("Field", names, field || (fields[1] ?? fields[0])),
      chooser("Comparison", Object.keys(OPERATORS), operator, OPERATORS),
      make("input", { type: "text", value: text, ariaLabel: "Value" }),
    );
    const remove = make(
      "button",
      { type: "button", ariaLabel: "Remove the condition" },
      "×",
    );
    remove.addEventListener("click", () => {
      row.remove();
      add.focus();
      told();
    });
    row.append(remove);
    return row;
  }

  return { offer, show };
}

function labelOption(name) {
  return make("option", { value: `=${name}` }, name);
}

function chooser(name, values, chosen, words = {}) {
  const options = values.map((value) =>
    make("option", { value, selected: value === chosen }, words[value] ?? value),
  );
  return make("select", { ariaLabel: name }, ...options);
}

// A condition without a value does not count yet.
function readCondition(row) {
  const [field, operator, value] = [...row.querySelectorAll("select, input")];
  const text = value.value.trim();
  if (!text) return [];
  return [[field.value, operator.value, asValue(operator.value, text)]];
}

function asValue(operator, text) {
  if (operator !== "$in") return asScalar(text);
  const list = tryJson(text);
  if (Array.isArray(list)) return list;
  return text.split(",").map((part) => asScalar(part.trim()));
}

function asScalar(text) {
  const value = tryJson(text);
  return ["string", "number", "boolean"].includes(typeof value) ? value : text;
}

function asText(operator, value) {
  if (operator === "$in" && Array.isArray(value)) {
    const texts = value.map((each) => asText("$eq", each));
    const isPlain = texts.every((each) => !/[,[]/.test(each));
    return isPlain ? texts.join(", ") : JSON.stringify(value);
  }
  if (typeof value !== "string") return JSON.stringify(value);
  return value === value.trim() && asScalar(value) === value && value
    ? value
    : JSON.stringify(value);
}

function tryJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Text without quotes.
  }
}

function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
