// The writing page: files dropped and sent one by one with their progress.

const letter = document.getElementById("letter");
const attach = document.getElementById("attach");

// -- files: one at a time, each as the body of a request

const waiting = [];
let running = null;

function add(files) {
  for (const file of files) {
    const row = document.createElement("li");
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = file.name;
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    const stop = document.createElement("button");
    stop.type = "button";
    stop.className = "secondary outline small";
    stop.textContent = attach.dataset.cancel;
    row.append(name, bar, stop);
    document.getElementById("uploads").append(row);
    const item = { file, row, bar, stop, request: null };
    stop.addEventListener("click", () => {
      const at = waiting.indexOf(item);
      if (at >= 0) waiting.splice(at, 1);
      if (item.request) item.request.abort();
      row.remove();
    });
    waiting.push(item);
  }
  next();
}

function next() {
  if (running || waiting.length === 0) return busy();
  const item = (running = waiting.shift());
  if (item.file.size > Number(attach.dataset.room)) {
    return fail(item, attach.dataset.tooLarge);
  }
  const request = (item.request = new XMLHttpRequest());
  request.open("PUT", `${attach.dataset.url}?name=${encodeURIComponent(item.file.name)}`);
  request.setRequestHeader("X-Coffre-Form", attach.dataset.csrf);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) item.bar.value = event.loaded / event.total;
  });
  request.addEventListener("load", () => {
    if (request.status === 200) {
      attach.dataset.room = String(Number(attach.dataset.room) - item.file.size);
      replaceList(request.responseText);
      item.row.remove();
      done();
    } else {
      fail(item, request.status === 413 ? attach.dataset.tooLarge : attach.dataset.failed);
    }
  });
  request.addEventListener("error", () => fail(item, attach.dataset.failed));
  request.addEventListener("abort", done);
  request.send(item.file);
  busy();
}

function replaceList(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html").getElementById("attached");
  if (parsed) document.getElementById("attached").replaceWith(document.adoptNode(parsed));
}

function fail(item, words) {
  item.bar.remove();
  const said = document.createElement("span");
  said.className = "problem";
  said.textContent = words;
  item.row.insertBefore(said, item.stop);
  done();
}

function done() {
  running = null;
  // What a recipient takes depends on the files: the saving tells.
  document.body.dispatchEvent(new Event("saved"));
  next();
}

function busy() {
  const send = document.getElementById("send");
  send.setAttribute("aria-disabled", String(running !== null));
}

// -- leaving: what was typed in the last second goes along

let unsaved = false;
letter.addEventListener("input", () => (unsaved = true));
new MutationObserver(() => (unsaved = false)).observe(document.getElementById("saved"), { childList: true });
addEventListener("pagehide", () => {
  if (unsaved) navigator.sendBeacon(letter.action, new URLSearchParams(new FormData(letter)));
});
addEventListener("beforeunload", (event) => {
  if (running) event.preventDefault();
});

attach.classList.add("scripted");
letter.addEventListener("submit", (event) => {
  if (running && event.submitter?.classList.contains("send")) {
    event.preventDefault();
    document.getElementById("saved").textContent = letter.dataset.busy;
  } else {
    unsaved = false;
  }
});
const picker = document.getElementById("files");
picker.addEventListener("change", () => {
  add([...picker.files]);
  picker.value = "";
});
for (const kind of ["dragenter", "dragover"]) {
  attach.addEventListener(kind, (event) => {
    event.preventDefault();
    attach.classList.add("over");
  });
}
attach.addEventListener("dragleave", () => attach.classList.remove("over"));
attach.addEventListener("drop", (event) => {
  event.preventDefault();
  attach.classList.remove("over");
  add([...event.dataTransfer.files]);
});
