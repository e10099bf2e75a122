// Loaded into Renovate by its tests: whatever registry it asks, a registry on loopback answers.
import http from 'node:http';
import https from 'node:https';

const port = Number(process.env.MIRROR_E2E_PORT);
https.request = (url, options, callback) => {
  const target = new URL(url.href ?? url);
  const { hostname, host, port: _, path, protocol, href, agent, ...rest } = options;
  const there = { hostname: '127.0.0.1', port, protocol: 'http:', path: target.pathname + target.search };
  return http.request({ ...rest, ...there }, callback);
};
