// Load this before the published ChatCamp SDK: what that SDK would send to the hosted service goes to the server
// this script came from, by WebSocket and by XHR. Pages need no other edit.
(function () {
  "use strict";
  var hosted = "api.chatcamp.io";
  var here = new URL(document.currentScript.src);

  function redirected(url) {
    var target;
    try {
      target = new URL(url, location.href);
    } catch (invalid) {
      // The browser says what is wrong with it.
      return url;
    }
    if (target.hostname !== hosted) return url;
    var secure = here.protocol === "https:";
    var socket = target.protocol === "ws:" || target.protocol === "wss:";
    return (socket ? "ws" : "http") + (secure ? "s" : "") + "://" + here.host + target.pathname + target.search;
  }

  /** The arguments with the URL at `index`, where there is one, redirected. */
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
      // The target is a subclass where a page has made one.
      construct: function (Socket, given, target) {
        return Reflect.construct(Socket, withUrlAt(0, given), target);
      },
    });
  }
})();
