interface ImportMetaEnv {
  readonly VITE_APP_ID: string;
  readonly VITE_CHAT_URL: string;
}
