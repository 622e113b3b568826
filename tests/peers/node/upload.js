// An upload by axios, as its manual says; prints what came back as JSON.

import { createReadStream } from 'node:fs';

import axios from 'axios';

const api = axios.create({
  baseURL: process.env.AVATARKIT_BASE_URL,
  headers: {
    'X-API-ID': process.env.AVATARKIT_API_ID,
    'X-API-KEY': process.env.AVATARKIT_API_KEY,
  },
});
const create = {
  gender: 'f',
  creator_name: 'Ada',
  labels: ['a', 'b'],
  lipsync_input: createReadStream(process.argv[2]),
};

// By default axios names a list labels[], which the vendor's framework does not read.
const { data: created } = await api.postForm('/api/personas_v2/', create, {
  formSerializer: { indexes: null },
});
const { data: stored } = await axios.get(created.lipsync_input, { responseType: 'arraybuffer' });
const { data: listed } = await api.get('/api/personas_v2/');
const { status: deleted } = await api.delete(`/api/personas/${created.id}/`);

console.log(JSON.stringify({ created, stored: stored.length, listed: listed.length, deleted }));
