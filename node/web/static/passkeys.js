// Makes and uses passkeys: fetches a challenge, asks the browser, and sends its answer with the form.

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

const withId = (descriptor) => ({ ...descriptor, id: bytes(descriptor.id) });

const ask = {
  create: (options) =>
    navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: withId(options.user),
        excludeCredentials: (options.excludeCredentials ?? []).map(withId),
      },
    }),
  get: (options) =>
    navigator.credentials.get({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        allowCredentials: (options.allowCredentials ?? []).map(withId),
      },
    }),
};

const answer = (credential) => {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response };
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  const button = form.querySelector("button");
  const problem = form.querySelector("[data-problem]");
  button.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    button.setAttribute("aria-busy", "true");
    try {
      const reply = await fetch(form.dataset.options, {
        method: "POST",
        headers: { "X-Coffre-Form": form.elements.csrf.value },
      });
      if (!reply.ok || reply.redirected) throw new Error(`options: ${reply.status}`);
      const credential = await ask[form.dataset.passkey](await reply.json());
      form.elements.credential.value = JSON.stringify(answer(credential));
      form.submit();
    } catch {
      problem.hidden = false;
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}
