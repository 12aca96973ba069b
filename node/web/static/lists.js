// A box that chooses all letters of the page. Without this script each is chosen by itself.
const place = document.getElementById("choose-all");
const form = place?.closest("form");
if (place && form) {
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
