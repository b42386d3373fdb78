import { type FormEvent, useState } from "react";
import { useChat } from "./useChat";

export function App() {
  const [userId, setUserId] = useState("alice");
  const { state, events, problem, connect, disconnect } = useChat();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    connect(userId);
  };

  return (
    <main>
      <form onSubmit={submit}>
        <label>User id <input value={userId} onChange={({ target }) => setUserId(target.value)} /></label>{" "}
        <button>Connect</button> <button type="button" onClick={disconnect}>Disconnect</button>
      </form>
      <p>State: <output>{state}</output></p>
      {problem !== null && <p role="alert">{problem}</p>}
      <ul>
        {events.map(({ type, data }, index) => <li key={index}>{type}: {JSON.stringify(data)}</li>)}
      </ul>
    </main>
  );
}
