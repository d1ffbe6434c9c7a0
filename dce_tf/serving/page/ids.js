// Ids as they are: text or integers of 64 bits, of which JavaScript's numbers hold 53.

/** Parses JSON; an id too large for a number stays the digits it was written with. */
export function parse(text) {
  return JSON.parse(text, (key, value, context) => {
    const isId = key === "id" || key === "";
    if (!isId || typeof value !== "number" || Number.isSafeInteger(value)) return value;
    return context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
  });
}

/** What tells records apart, as JSON text: 1 and "1" are two. */
export function keyOf(id) {
  return JSON.stringify(id);
}

/** An id for people. */
export function textOf(id) {
  return typeof id === "string" ? id : JSON.stringify(id);
}
