// Fields of recipients: comboboxes (ARIA 1.2) whose list the server fills with people, services and groups.

function recipients(input) {
  const list = document.getElementById(input.getAttribute("aria-controls"));
  let active = -1;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const show = (open) => {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    if (!open) mark(-1);
  };
  const mark = (index) => {
    active = index;
    options().forEach((option, at) => option.setAttribute("aria-selected", String(at === index)));
    const option = options()[index];
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  };
  const choose = (option) => {
    const before = input.value.match(/^(.*[,;])?[^,;]*$/s)[1] ?? "";
    input.value = `${before}${before ? " " : ""}${option.dataset.address}, `;
    list.replaceChildren();
    show(false);
    input.focus();
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  new MutationObserver(() => {
    active = -1;
    const any = options().length > 0 && document.activeElement === input;
    if (list.hidden === any) show(any);
  }).observe(list, { childList: true });
  // Whoever types at once may be before this script, or before htmx, which heard no key then. htmx takes the page up
  // in a timer that it set before this one.
  const typed = input.value;
  setTimeout(() => {
    if (document.activeElement !== input) return;
    if (options().length) show(true);
    else if (typed.split(/[,;]/).pop().trim()) input.dispatchEvent(new Event("input", { bubbles: true }));
  });
  input.addEventListener("keydown", (event) => {
    const count = options().length;
    if (event.key === "Enter") {
      event.preventDefault();
      if (!list.hidden && active >= 0) choose(options()[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      show(false);
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && count) {
      event.preventDefault();
      if (list.hidden) show(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      mark(active < 0 ? (step > 0 ? 0 : count - 1) : (active + step + count) % count);
    }
  });
  // Only what is being typed is looked for: a group can make the field longer than an address may be.
  input.addEventListener("htmx:config:request", (event) => {
    event.detail.ctx.request.body.set(input.name, input.value.split(/[,;]/).pop());
  });
  input.addEventListener("blur", () => show(false));
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) choose(option);
  });
}

document.querySelectorAll("[role=combobox]").forEach(recipients);
