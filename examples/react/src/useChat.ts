import { useEffect, useState } from "react";
import { ChatCamp, type ChatCampError, type Events, type State } from "chatcamp-client";

const chat = new ChatCamp({ appId: import.meta.env.VITE_APP_ID, url: import.meta.env.VITE_CHAT_URL });

/** Returns what the page shows of the connection, and functions that connect and disconnect a user. */
export function useChat() {
  const [state, setState] = useState<State>(chat.state);
  const [events, setEvents] = useState<Events["event"][]>([]);
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    const stops = [
      chat.on("state", setState),
      chat.on("event", (event) => setEvents((earlier) => [...earlier, event])),
      chat.on("connected", () => setProblem(null)),
      chat.on("reconnecting", ({ why }) => setProblem(describe(why))),
      chat.on("disconnected", ({ reason }) => setProblem(describe(reason))),
    ];
    return () => {
      stops.forEach((stop) => stop());
      void chat.disconnect();
    };
  }, []);

  // The event `disconnected` reports a failure.
  const connect = (userId: string) => void chat.connect(userId).catch(() => {});
  const disconnect = () => void chat.disconnect();
  return { state, events, problem, connect, disconnect };
}

/** Returns the text for the user; null if this page ended the connection itself. */
function describe({ code, message }: ChatCampError): string | null {
  switch (code) {
    case "DISCONNECTED_BY_US":
    case "SUPERSEDED":
      return null;
    case "ACCESS_TOKEN_REQUIRED":
      return "This user must present an access token, and this example has none.";
    default:
      return message;
  }
}
