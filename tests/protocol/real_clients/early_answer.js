// Uploads so many bytes over HTTP/2 and prints status and body of the answer, which comes before the upload's end.
//
//     node early_answer.js https://localhost:8443/early BYTES [CA]
'use strict';
const http2 = require('node:http2');
const fs = require('node:fs');

const [, , url, size, ca] = process.argv;
const { origin, pathname } = new URL(url);
const session = http2.connect(origin, ca ? { ca: fs.readFileSync(ca) } : {});
const fail = (what) => (error) => {
  console.error(`${what}: ${error}`);
  process.exit(1);
};
session.on('error', fail('session'));
const stream = session.request({ ':method': 'POST', ':path': pathname, 'content-length': size });
stream.on('error', fail('stream'));
let status = 0;
let body = '';
stream.setEncoding('utf8');
stream.on('response', (fields) => { status = fields[':status']; });
stream.on('data', (text) => { body += text; });
stream.on('close', () => {
  console.log(`${status} ${body.trim()}`);
  session.destroy();
});
const piece = Buffer.alloc(64 * 1024, 'x');
let left = Number(size);
const send = () => {
  while (left > 0 && !stream.destroyed && stream.writable) {
    const next = piece.subarray(0, Math.min(left, piece.length));
    left -= next.length;
    if (!stream.write(next)) {
      stream.once('drain', send);
      return;
    }
  }
  if (left === 0) stream.end();
};
send();
