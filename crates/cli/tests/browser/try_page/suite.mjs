// The scenarios of the page /try. It chooses its transport itself, and goes straight to its server.

import * as scenarios from "./scenarios.mjs";
import { TryPage } from "./try_page.mjs";

const { the_page_fits_a_phone_and_a_wide_screen, ...both } = scenarios;
export const SCENARIOS = { long_poll: both, web_socket: { the_page_fits_a_phone_and_a_wide_screen, ...both } };

export const open = (world, options) => TryPage.open(world, options);
