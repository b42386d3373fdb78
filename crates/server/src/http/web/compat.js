// Load this before the published ChatCamp SDK. It redirects the SDK's WebSockets and XHRs from the hosted service to the server
// that this script came from, below the same path. Pages need no other change.
(function () {
  "use strict";
  var hosted = "api.chatcamp.io";
  var here = new URL(document.currentScript.src);
  var below = here.pathname.replace(/\/[^/]*$/, "");

  function redirected(url) {
    var target;
    try {
      target = new URL(url, location.href);
    } catch (invalid) {
      // The browser reports the invalid URL.
      return url;
    }
    if (target.hostname !== hosted) return url;
    var secure = here.protocol === "https:";
    var socket = target.protocol === "ws:" || target.protocol === "wss:";
    return (socket ? "ws" : "http") + (secure ? "s" : "") + "://" + here.host + below + target.pathname + target.search;
  }

  /** Returns the arguments with the URL at `index` redirected, if it is present. */
  function withUrlAt(index, given) {
    var args = Array.prototype.slice.call(given);
    if (index < args.length) args[index] = redirected(args[index]);
    return args;
  }

  var open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function () {
    return open.apply(this, withUrlAt(1, arguments));
  };

  if (window.WebSocket) {
    window.WebSocket = new Proxy(window.WebSocket, {
      // The target is a subclass if the page has defined one.
      construct: function (Socket, given, target) {
        return Reflect.construct(Socket, withUrlAt(0, given), target);
      },
    });
  }
})();
