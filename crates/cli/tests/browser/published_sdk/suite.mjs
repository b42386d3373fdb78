// The scenarios of the published SDK.

import { SdkPage } from "./sdk_page.mjs";
import * as connect from "./scenarios/connect.mjs";
import * as ended from "./scenarios/ended.mjs";
import * as longPoll from "./scenarios/long_poll.mjs";
import * as movedPages from "./scenarios/moved_pages.mjs";
import * as refused from "./scenarios/refused.mjs";
import * as requests from "./scenarios/requests.mjs";
import * as resume from "./scenarios/resume.mjs";
import * as webSocket from "./scenarios/web_socket.mjs";

const BOTH = { ...connect, ...ended, ...movedPages, ...refused, ...requests, ...resume };
// The scenarios that take longest come first.
export const SCENARIOS = { long_poll: { ...longPoll, ...BOTH }, web_socket: { ...webSocket, ...BOTH } };

export const open = (world, options) => SdkPage.open(world, options);
