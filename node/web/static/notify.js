// The button that asks the browser for notifications; never asked on load.
const button = document.getElementById("ask-browser");
const state = document.getElementById("browser-state");

function show() {
  const permission = "Notification" in window ? Notification.permission : "unsupported";
  state.textContent = state.dataset[permission];
  button.hidden = permission !== "default";
}

button.addEventListener("click", async () => {
  await Notification.requestPermission();
  show();
});
show();
