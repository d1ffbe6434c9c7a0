// Images that a person drops, pastes or picks, made ready to be sent.

const READ_BY_SERVERS = new Set([
  "image/jpeg",
  "image/png",
  "image/gif",
  "image/bmp",
  "image/webp",
]);

/** Calls `take(files)` with what is dropped or pasted anywhere, or picked in `inputs`. */
export function watchForFiles(inputs, take) {
  for (const input of inputs) {
    input.addEventListener("change", () => {
      if (input.files.length) take([...input.files]);
      input.value = ""; // The same file again is a change too.
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });
  watchForDrops(take);
}

function watchForDrops(take) {
  const root = document.documentElement;
  let depth = 0; // Entering a child is told before leaving its parent.
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    root.classList.toggle("dropping", depth > 0);
  };
  root.addEventListener("dragenter", (event) => hasFiles(event) && mark(+1));
  root.addEventListener("dragleave", (event) => hasFiles(event) && mark(-1));
  root.addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  root.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(-depth);
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
}

/** Returns an image that servers read; throws an Error that says why it cannot. */
export async function prepare(file) {
  const name = file.name || "What was pasted";
  if (!file.size) throw new Error(`${name} is empty.`);
  if (READ_BY_SERVERS.has(file.type)) return file;
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await image.decode();
    return await redrawn(image);
  } catch {
    throw new Error(
      `${name} is no image that can be read here. Convert it to JPEG or PNG.`,
    );
  } finally {
    URL.revokeObjectURL(image.src);
  }
}

async function redrawn(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  canvas.getContext("2d").drawImage(image, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("The browser cannot draw it.");
  return blob;
}

/** Returns the contents of a file as base64. */
export async function base64(blob) {
  const reader = new FileReader();
  const done = new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(reader.error);
  });
  reader.readAsDataURL(blob);
  await done;
  return reader.result.slice(reader.result.indexOf(",") + 1);
}
