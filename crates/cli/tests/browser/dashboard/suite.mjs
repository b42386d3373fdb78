// The scenarios of the dashboard. In those over both transports, a user connects with the client for web pages.

import { ClientPage } from "../web_client/client_page.mjs";
import { Admin } from "./admin.mjs";
import * as scenarios from "./scenarios.mjs";

const { the_link_of_dev_signs_in_once, pages_fit_a_phone, pages_fit_a_wide_screen, ...both } = scenarios;
export const SCENARIOS = {
  long_poll: both,
  web_socket: { pages_fit_a_phone, pages_fit_a_wide_screen, the_link_of_dev_signs_in_once, ...both },
};

export const open = (world, { client, ...options } = {}) =>
  client ? ClientPage.open(world, { appId: options.appId ?? world.openApp }) : Admin.open(world, options);
