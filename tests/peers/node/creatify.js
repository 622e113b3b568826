// What the vendor's API is used for through @tsavo/creatify-api-ts; prints what came back as JSON.

import { AvatarApi, CreatifyApiClient } from '@tsavo/creatify-api-ts';

const options = {
  baseUrl: process.env.AVATARKIT_BASE_URL,
  apiId: process.env.AVATARKIT_API_ID,
  apiKey: process.env.AVATARKIT_API_KEY,
};
const client = new CreatifyApiClient(options);
const avatars = new AvatarApi(options);

const usable = await avatars.getAvatars();
const women = await avatars.getAvatars({ gender: 'f' });
const created = await client.post('/api/personas/', {
  gender: 'f',
  creator_name: 'Ada',
  labels: ['a', 'b'],
  lipsync_input: 'https://example.com/a.mp4',
});
const listed = await client.get('/api/personas_v2/');
const page = await client.get('/api/personas/paginated/', { page: 1, page_size: 1 });
const found = await client.get(`/api/personas/${created.id}/`);
const count = await client.get('/api/personas_v2/count/');
const refused = await client.post('/api/personas/', { gender: 'x' }).catch((error) => error);
await client.delete(`/api/personas/${created.id}/`);
const gone = await client.get(`/api/personas/${created.id}/`).catch((error) => error);

console.log(JSON.stringify({ usable, women, created, listed, page, found, count, refused, gone }));
