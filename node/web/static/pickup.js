// The link's key is after # in the address, so that no server on the way sees it: from there into the form, and out of
// the address bar. Kept for this tab until the letter is open, for a change of language or a page loaded again.
const KEPT = "coffre-pickup-link";
const field = document.getElementById("link");

function take() {
  if (location.hash.length > 1) {
    sessionStorage.setItem(KEPT, location.href);
    history.replaceState(null, "", location.pathname);
    field.value = sessionStorage.getItem(KEPT);
  } else if (!field.value) {
    field.value = sessionStorage.getItem(KEPT) ?? "";
  }
  if (/#[a-z2-7]{32}$/i.test(field.value)) {
    document.getElementById("link-row").hidden = true;
    document.getElementById("code").focus();
  }
}

if (document.querySelector("[data-opened]")) {
  sessionStorage.removeItem(KEPT);
} else if (field) {
  take();
  // A link that is opened where this page is open already loads nothing anew.
  addEventListener("hashchange", take);
}
