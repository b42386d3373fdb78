// Load this before the published ChatCamp SDK: what that SDK would send to the hosted service goes to the server
// this script came from, by WebSocket and by XHR. Pages need no other edit.
(function () {
  "use strict";
  var hosted = "api.chatcamp.io";
  var here = new URL(document.currentScript.src);

  function redirected(url) {
    var target = new URL(url, location.href);
    if (target.hostname !== hosted) return url;
    var secure = here.protocol === "https:";
    var socket = target.protocol === "ws:" || target.protocol === "wss:";
    return (socket ? "ws" : "http") + (secure ? "s" : "") + "://" + here.host + target.pathname + target.search;
  }

  var open = XMLHttpRequest.prototype.open;
  XMLHttpRequest.prototype.open = function (method, url) {
    var rest = Array.prototype.slice.call(arguments, 2);
    return open.apply(this, [method, redirected(url)].concat(rest));
  };

  if (window.WebSocket) {
    window.WebSocket = new Proxy(window.WebSocket, {
      construct: function (Socket, args) {
        return Reflect.construct(Socket, [redirected(args[0])].concat(args.slice(1)));
      },
    });
  }
})();
