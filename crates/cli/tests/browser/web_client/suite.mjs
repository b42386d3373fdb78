// The scenarios of the client for web pages.

import { ClientPage } from "./client_page.mjs";
import * as connect from "./scenarios/connect.mjs";
import * as dialogue from "./scenarios/dialogue.mjs";
import * as ended from "./scenarios/ended.mjs";
import * as longPoll from "./scenarios/long_poll.mjs";
import * as refused from "./scenarios/refused.mjs";
import * as requests from "./scenarios/requests.mjs";
import * as resume from "./scenarios/resume.mjs";
import * as tokens from "./scenarios/tokens.mjs";
import * as unreachable from "./scenarios/unreachable.mjs";
import * as webSocket from "./scenarios/web_socket.mjs";

const BOTH = { ...connect, ...ended, ...refused, ...requests, ...resume, ...tokens, ...unreachable };
export const SCENARIOS = { long_poll: { ...longPoll, ...BOTH }, web_socket: { ...dialogue, ...webSocket, ...BOTH } };

export const open = (world, options) => ClientPage.open(world, options);
