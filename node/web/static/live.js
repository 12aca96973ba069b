// Keeps an open page up to date (spec/alerts.md, 5): a stream says that something changed, the page fetches what it
// shows. Without this script a page is as new as its last reload.
const note = document.getElementById("live");
const path = note.dataset.path;
const leaving = new AbortController();
const own = { headers: { "X-Coffre-Live": "1" }, credentials: "same-origin", cache: "no-store", signal: leaving.signal };
const RETRY_MS = 60000;
let newest = note.dataset.newest;
let busy = false;
let again = false;
let source = null;

function say(text) {
  note.textContent = text;
}

function showUnread(unread) {
  const badge = document.querySelector("[data-unread-number]");
  if (badge) {
    badge.textContent = unread;
    badge.closest("[data-unread]").hidden = unread === "";
  }
  document.title = (unread ? `(${unread}) ` : "") + document.title.replace(/^\(\d+\+?\) /, "");
}

function isAllowed() {
  return "Notification" in window && Notification.permission === "granted";
}

function notify(tag) {
  try {
    // The same tag in every tab: the browser shows one.
    const shown = new Notification(note.dataset.waits, { tag });
    shown.addEventListener("click", () => {
      window.focus();
      location.assign(`${path}/inbox`);
    });
  } catch {
    // Some telephones allow notifications to workers alone; the page itself says it.
  }
}

// What tells a link, button or field from the others of its page, so that it is found again after a change.
function nameOf(element) {
  return ["href", "name", "value", "aria-label"].map((name) => element.getAttribute(name) ?? "").join(" ");
}

function replacePart(part, other) {
  if (!other || other.innerHTML === part.innerHTML) return;
  const held = part.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  const chosen = new Set([...part.querySelectorAll('input[name="row"]:checked')].map((box) => box.value));
  const picked = [...part.querySelectorAll("select[id]")].map((select) => [select.id, select.value]);
  const unfolded = [...part.querySelectorAll("details")].map((details) => details.open);
  part.replaceChildren(...other.childNodes);
  for (const box of part.querySelectorAll('input[name="row"]')) box.checked = chosen.has(box.value);
  for (const [id, value] of picked) {
    const select = part.querySelector(`#${id}`);
    if (select && [...select.options].some((option) => option.value === value)) select.value = value;
  }
  part.querySelectorAll("details").forEach((details, index) => {
    details.open = unfolded[index] ?? false;
  });
  part.dispatchEvent(new CustomEvent("fresh", { bubbles: true }));
  if (held) [...part.querySelectorAll("a, button, input, select, summary")].find((one) => nameOf(one) === held)?.focus();
}

// A part names where it comes from; without a name it is fetched with its whole page.
async function refreshParts() {
  const parts = [...document.querySelectorAll("[data-live][id]")];
  const from = (part) => part.dataset.live || location.href;
  for (const url of new Set(parts.map(from))) {
    const answer = await fetch(url, own);
    if (!answer.ok) continue;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts) if (from(part) === url) replacePart(part, fresh.getElementById(part.id));
  }
}

async function refresh() {
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    do {
      again = false;
      const answer = await fetch(`${path}/news`, own);
      if (answer.status === 401) {
        stop();
        say(note.dataset.ended);
        return;
      }
      if (!answer.ok) return;
      const news = await answer.json();
      showUnread(news.unread);
      await refreshParts();
      // Row ids rise with time: an older one on top means that the newest was read.
      if (news.newest > newest) {
        say(note.dataset.arrived);
        setTimeout(() => note.textContent === note.dataset.arrived && say(""), 8000);
        if (news.notify && isAllowed()) notify(news.newest);
      }
      if (news.newest > newest) newest = news.newest;
    } while (again);
  } catch {
    // The line is down; the stream comes back by itself.
  } finally {
    busy = false;
  }
}

function stop() {
  source?.close();
  source = null;
  clearInterval(polling);
}

function listen() {
  source = new EventSource(`${path}/events`);
  source.addEventListener("changed", refresh);
  source.addEventListener("error", async () => {
    if (source && source.readyState === EventSource.CLOSED) {
      source = null; // refused: logged out, no longer one's own, or too many tabs
      await refresh();
    }
  });
}

const polling = setInterval(() => {
  if (source === null) {
    listen();
    refresh();
  }
}, RETRY_MS);
listen();
// Who logs out asks for nothing more: what came after the end of the session would be refused.
document.querySelector('form[action="/logout"]')?.addEventListener("submit", () => {
  leaving.abort();
  stop();
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && listen());
