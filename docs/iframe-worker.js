// Browsers start no worker from a file: there, its script runs in a hidden frame. The search of the site needs it.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = (this.inside = this.frame.contentWindow);
      const page = inside.document;
      page.open();
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...urls) =>
        Promise.all(
          urls.map(
            (each) =>
              new Promise((resolve, reject) => {
                const script = page.createElement("script");
                Object.assign(script, { src: each, async: false, onload: resolve, onerror: reject });
                page.head.append(script);
              }),
          ),
        );
      this.ready = new Promise((resolve) => this.frame.addEventListener("load", resolve, { once: true }));
      page.write(`<!doctype html><script src="${new URL(url, location.href)}"></script>`);
      page.close();
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
