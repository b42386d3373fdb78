// The scenarios of the page /try. The page itself chooses the transport, and connects to its server directly.

import * as scenarios from "./scenarios.mjs";
import { TryPage } from "./try_page.mjs";

const { the_page_fits_a_phone_and_a_wide_screen, ...both } = scenarios;
export const SCENARIOS = { long_poll: both, web_socket: { the_page_fits_a_phone_and_a_wide_screen, ...both } };

export const open = (world, options) => TryPage.open(world, options);
