// What the page says of numbers and of what went wrong.

const NUMBER = new Intl.NumberFormat("en");

export function number(value) {
  return NUMBER.format(value);
}

/** "1 image", "1,443 images". */
export function count(value, thing) {
  return `${number(value)} ${thing}${value === 1 ? "" : "s"}`;
}

/** "7.1 MB". */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function milliseconds(value) {
  return `${value < 10 ? value.toFixed(1) : number(Math.round(value))} ms`;
}

export function similarity(score) {
  return score.toFixed(3).replace("-", "−");
}

/** "93 %", and never 0 or 100: nothing is certain. */
export function percent(share) {
  if (share < 0.01) return "<1 %";
  return share > 0.99 ? ">99 %" : `${Math.round(100 * share)} %`;
}

/** The title, text and remedy of a problem; `again` says whether trying again may help. */
export function explain(problem) {
  const { status, message } = problem;
  const seconds = problem.retryAfter;
  switch (status) {
    case 0:
      return {
        title: "The server does not answer",
        text: "It may have ended, or the network is away.",
        again: true,
      };
    case 401:
      return {
        title: "The server wants a token",
        text: "Without it nothing can be searched.",
        again: true,
      };
    case 403:
    case 400:
      return { title: "The server cannot do that", text: message, again: false };
    case 404:
      return { title: "It is not there", text: message, again: false };
    case 413:
      return {
        title: "The image is too large for this server",
        text: `${message} Save it smaller, or take another.`,
        again: false,
      };
    case 409:
      return { title: "The server has another model now", text: message, again: true };
    case 429:
    case 503:
      return {
        title: "The server is busy",
        text: `${message} Try again ${seconds ? `in ${count(seconds, "second")}` : "soon"}.`,
        again: true,
      };
    case 504:
      return { title: "The server took too long", text: message, again: true };
    default:
      return { title: `The server failed (${status})`, text: message, again: true };
  }
}
