// What must be said before the modules run, or where they cannot.
window.addEventListener("DOMContentLoaded", () => {
  const status = document.getElementById("status");
  const say = (text) => {
    status.textContent = text;
    status.classList.add("bad");
  };
  if (location.protocol === "file:") {
    say("Browsers do not run modules from plain files: serve this folder (python3 -m http.server) and open http://localhost:8000.");
  } else if (typeof WebAssembly !== "object" || typeof WebAssembly.instantiate !== "function") {
    say("This browser has no WebAssembly, which runs the network. Any current Firefox, Chrome, Edge or Safari has it; a strict security mode may have switched it off.");
  } else if (!("noModule" in HTMLScriptElement.prototype)) {
    say("This browser is too old for this page: it needs JavaScript modules.");
  }
});
