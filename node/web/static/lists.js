// A box that chooses all letters of the page. Without this script each is chosen by itself.
function addChooseAll() {
  const place = document.getElementById("choose-all");
  const form = place?.closest("form");
  if (!form || place.hasChildNodes()) return;
  const boxes = () => [...form.querySelectorAll('input[name="row"]')];
  const all = document.createElement("input");
  all.type = "checkbox";
  all.setAttribute("aria-label", place.dataset.label);
  all.title = all.getAttribute("aria-label");
  place.append(all);
  const show = () => {
    const chosen = boxes().filter((box) => box.checked).length;
    all.checked = chosen > 0 && chosen === boxes().length;
    all.indeterminate = chosen > 0 && !all.checked;
  };
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "row") show();
  });
  show();
}

addChooseAll();
// The list was brought up to date in place: the box came without this script.
addEventListener("fresh", addChooseAll);
