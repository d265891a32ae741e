"use strict";
// Runs in the page, after the page's own script.
(async () => {
  const saw = { Errors: [] };
  window.addEventListener("error", e => saw.Errors.push(String(e.message)));
  document.addEventListener("securitypolicyviolation", e => saw.Errors.push(e.violatedDirective + " " + e.blockedURI));
  const get = id => document.getElementById(id);
  const text = id => get(id).hidden ? "" : get(id).textContent;
  const until = what => new Promise((resolve, reject) => {
    const watch = new MutationObserver(() => { if (what()) { watch.disconnect(); resolve(); } });
    watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    setTimeout(() => reject(new Error("nothing happened: " + what)), 50000);
    if (what()) { watch.disconnect(); resolve(); }
  });
  const look = () => ({
    Decision: text("decision"), Score: text("score"), Threshold: text("threshold"), Reason: text("reason"), Moved: text("moved"),
    Message: text("message"), Defects: text("defects"), Result: !get("result").hidden });
  const file = name => {
    const bytes = Uint8Array.from(atob(pictures[name]), c => c.charCodeAt(0));
    return new File([bytes], name, { type: name.endsWith(".png") ? "image/png" : "text/plain" });
  };
  const drop = name => {
    const data = new DataTransfer();
    data.items.add(file(name));
    for (const kind of ["dragenter", "dragover", "drop"]) {
      const e = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data });
      get("drop").dispatchEvent(e);
      if (!e.defaultPrevented) saw.Errors.push(kind + " would leave the page");
    }
  };
  const give = token => {
    get("token").value = token;
    get("door").requestSubmit();
  };
  try {
    await until(() => !get("door").hidden);
    saw.Door = true;
    give("wrong-token-wrong");
    await until(() => text("message") !== "");
    saw.Refused = text("message");
    give("0123456789abcdef");
    await until(() => get("door").hidden && !get("pick").hidden);
    saw.Token = text("message") === "";
    saw.Products = [...get("product").options].map(o => o.value);
    // Without a journal nobody is asked.
    get("product").value = "gear";
    drop("part.png");
    await until(() => !get("result").hidden);
    saw.Unasked = get("feedback").hidden;
    get("product").value = "spring 12";

    drop("part.png");
    await until(() => text("details").includes("spring 12"));
    saw.Dropped = look();
    await get("map").decode();
    saw.Natural = [get("map").naturalWidth, get("map").naturalHeight];
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const pen = canvas.getContext("2d");
    pen.drawImage(get("map"), -150, -90);
    saw.Colour = [...pen.getImageData(0, 0, 1, 1).data];

    get("exact").value = "260";
    get("exact").dispatchEvent(new Event("input", { bubbles: true }));
    saw.Moved = look();
    get("reset").click();
    saw.Back = look();

    saw.Asked = get("feedback").hidden ? "" : text("say");
    get("say").click();
    await until(() => text("said") !== "");
    saw.Said = text("said");
    saw.Once = get("say").disabled;
    get("say").disabled = false; // for the order of Tab
    saw.Focus = [...document.querySelectorAll("a[href], button, input, select")]
      .filter(e => !e.closest("[hidden]") && e.tabIndex >= 0).map(e => e.id);

    drop("notes.txt");
    await until(() => text("message") !== "");
    saw.Broken = look();

    // For the picture of the page.
    drop("part.png");
    await until(() => !get("result").hidden);
    get("slider").value = 260;
    get("slider").dispatchEvent(new Event("input", { bubbles: true }));
    await Promise.all([get("map").decode(), get("picture").decode()]);
  } catch (err) {
    saw.Errors.push(String(err));
  }
  await fetch("result", { method: "POST", body: JSON.stringify(saw) });
})();
