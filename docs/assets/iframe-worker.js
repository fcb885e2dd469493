// A browser gives no worker to a page from the disk, and the search of the site wants one. In its
// place stands a hidden frame, whose window is all that the worker's script asks for. The offline
// plugin would fetch such a thing from another machine, unless a file of this name is there.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      const load = (source) => new Promise((resolve, reject) => {
        const script = this.inner.document.createElement("script");
        Object.assign(script, { src: source, onload: resolve, onerror: reject });
        this.inner.document.body.append(script);
      });
      this.inner.importScripts = (...sources) => Promise.all(sources.map(load));
      this.inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.ready = load(new URL(address, location.href).href);
    }

    postMessage(data) {
      this.ready.then(() => this.inner.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {}
  };
}
