-- A database of the first version of the store (commit 3175660), as SQLite's .dump writes it: an
-- avatar that is done with previews, one that failed, one in flight after an error, one that was
-- gone before it had ended and one that was gone afterwards, one with an undocumented status;
-- submissions of each state; and a row of another account.
BEGIN TRANSACTION;
CREATE TABLE meta (
	"key" VARCHAR(50) NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','1');
INSERT INTO "meta" VALUES('kind','live');
CREATE TABLE personas (
	account VARCHAR(32) NOT NULL,
	persona_id TEXT NOT NULL,
	creator_name TEXT,
	gender TEXT,
	video_scene TEXT,
	keywords TEXT,
	labels TEXT,
	status TEXT NOT NULL,
	is_active BOOLEAN,
	failed_reason TEXT,
	created_us BIGINT,
	updated_us BIGINT,
	submitted_us BIGINT,
	first_seen_us BIGINT NOT NULL,
	last_seen_us BIGINT NOT NULL,
	next_look_us BIGINT,
	gone BOOLEAN NOT NULL,
	last_error TEXT,
	run_id BIGINT,
	failures INTEGER NOT NULL,
	missed_since_us BIGINT,
	answer TEXT NOT NULL,
	PRIMARY KEY (account, persona_id)
);
INSERT INTO "personas" VALUES('live-account-0001','ada','Ada','f','office','office,desk','["news", "summer"]','done',1,NULL,1767603600123456,1767859200123456,1767603660123456,1767603720123456,1767862800123456,NULL,0,NULL,5,0,NULL,'{"id":"ada","creator_name":"Ada","process_status":"done","is_active":true,"updated_at":"2026-01-08T08:00:00.123456Z","preview_image_16_9":"https://cdn.example/ada/16.jpg","preview_image_1_1":"https://cdn.example/ada/1.jpg","squared_preview_video":"https://cdn.example/ada/1.mp4"}');
INSERT INTO "personas" VALUES('live-account-0001','zoe','Zoë „Ω“','f',NULL,NULL,'[]','failed',NULL,'No face in the footage’s first second.',1767607200123456,NULL,1767607260123456,1767607320123456,1767675600123456,NULL,0,NULL,7,0,NULL,'{"id":"zoe","process_status":"failed","failed_reason":"No face in the footage’s first second."}');
INSERT INTO "personas" VALUES('live-account-0001','bo','Bo','f',NULL,NULL,'[]','processing',NULL,NULL,1767610800123456,NULL,1767610860123456,1767610920123456,1767646798123456,1767672000123456,0,'The API did not answer in time.',9,1,NULL,'{"id":"bo","process_status":"processing"}');
INSERT INTO "personas" VALUES('live-account-0001','cy','Cy','f',NULL,NULL,'[]','pending',NULL,NULL,1767614400123456,NULL,1767614460123456,1767614520123456,1767614520123456,NULL,1,'The API has no such persona.',10,3,1767621600123456,'{"id":"cy","process_status":"pending","created_at":"2026-01-05T12:00:00.123456Z"}');
INSERT INTO "personas" VALUES('live-account-0001','dee',NULL,NULL,NULL,NULL,NULL,'done',1,NULL,NULL,NULL,NULL,1767618000123456,1767618000123456,NULL,1,'The API has no such persona.',11,3,1767711600123456,'{"id":"dee","process_status":"done","is_active":true,"portrait_preview_video":"https://cdn.example/dee/9.mp4"}');
INSERT INTO "personas" VALUES('live-account-0001','eve','Eve',NULL,NULL,NULL,NULL,'dreaming',NULL,NULL,NULL,NULL,NULL,1767621600123456,1767621600123456,1767643200123456,0,NULL,12,0,NULL,'{"id":"eve","creator_name":"Eve","process_status":"dreaming","novel":{"x":[1]}}');
INSERT INTO "personas" VALUES('live-account-0002','ada',NULL,NULL,NULL,NULL,NULL,'pending',NULL,NULL,NULL,NULL,NULL,1767603600123456,1767603600123456,1767625200123456,0,NULL,13,0,NULL,'{"id":"ada","process_status":"pending"}');
CREATE TABLE sightings (
	id INTEGER NOT NULL,
	account VARCHAR(32) NOT NULL,
	persona_id TEXT NOT NULL,
	status TEXT NOT NULL,
	first_seen_us BIGINT NOT NULL,
	last_seen_us BIGINT NOT NULL,
	times_seen BIGINT NOT NULL,
	reported_us BIGINT,
	failed_reason TEXT,
	source VARCHAR(10) NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "sightings" VALUES(1,'live-account-0001','ada','pending',1767603720123456,1767607198123456,2,1767603600123456,NULL,'create');
INSERT INTO "sightings" VALUES(2,'live-account-0001','ada','processing',1767636000123456,1767636000123456,1,NULL,NULL,'poll');
INSERT INTO "sightings" VALUES(3,'live-account-0001','ada','voice_creating',1767711600123456,1767711600123456,1,NULL,NULL,'poll');
INSERT INTO "sightings" VALUES(4,'live-account-0001','ada','reviewing',1767783600123456,1767783600123456,1,NULL,NULL,'poll');
INSERT INTO "sightings" VALUES(5,'live-account-0001','ada','done',1767862800123456,1767862800123456,1,1767859200123456,NULL,'poll');
INSERT INTO "sightings" VALUES(6,'live-account-0001','zoe','pending',1767607320123456,1767607320123456,1,1767607200123456,NULL,'create');
INSERT INTO "sightings" VALUES(7,'live-account-0001','zoe','failed',1767675600123456,1767675600123456,1,NULL,'No face in the footage’s first second.','poll');
INSERT INTO "sightings" VALUES(8,'live-account-0001','bo','pending',1767610920123456,1767610920123456,1,1767610800123456,NULL,'create');
INSERT INTO "sightings" VALUES(9,'live-account-0001','bo','processing',1767614400123456,1767646798123456,3,NULL,NULL,'poll');
INSERT INTO "sightings" VALUES(10,'live-account-0001','cy','pending',1767614520123456,1767614520123456,1,1767614400123456,NULL,'create');
INSERT INTO "sightings" VALUES(11,'live-account-0001','dee','done',1767618000123456,1767618000123456,1,NULL,NULL,'list');
INSERT INTO "sightings" VALUES(12,'live-account-0001','eve','dreaming',1767621600123456,1767621600123456,1,NULL,NULL,'list');
INSERT INTO "sightings" VALUES(13,'live-account-0002','ada','pending',1767603600123456,1767603600123456,1,NULL,NULL,'list');
CREATE TABLE submissions (
	submission_id VARCHAR(32) NOT NULL,
	account VARCHAR(32) NOT NULL,
	state VARCHAR(20) NOT NULL,
	persona_id TEXT,
	creator_name TEXT NOT NULL,
	request TEXT NOT NULL,
	prepared_us BIGINT NOT NULL,
	sent_us BIGINT,
	ended_us BIGINT,
	error TEXT,
	PRIMARY KEY (submission_id)
);
INSERT INTO "submissions" VALUES('78baf77e5d204b63a5ede75817d9f9ef','live-account-0001','accepted','ada','Ada','{"gender":"f","creator_name":"Ada","video_scene":"office","keywords":"office,desk","labels":["news","summer"]}',1767603600123456,1767603660123456,1767603720123456,NULL);
INSERT INTO "submissions" VALUES('0d9aff5adaa24277b68e8abbfcb96855','live-account-0001','accepted','zoe','Zoë „Ω“','{"gender":"f","creator_name":"Zoë „Ω“","labels":[]}',1767607200123456,1767607260123456,1767607320123456,NULL);
INSERT INTO "submissions" VALUES('28a6a5c1c31c457099d3181e76c05b36','live-account-0001','accepted','bo','Bo','{"gender":"f","creator_name":"Bo","labels":[]}',1767610800123456,1767610860123456,1767610920123456,NULL);
INSERT INTO "submissions" VALUES('36daba8a2c0a41e58904961a152e90dc','live-account-0001','accepted','cy','Cy','{"gender":"f","creator_name":"Cy","labels":[]}',1767614400123456,1767614460123456,1767614520123456,NULL);
INSERT INTO "submissions" VALUES('8d9d68631b854fcbbe3b2302a5eab1fd','live-account-0001','prepared',NULL,'prepared only','{"gender":"f","creator_name":"prepared only","labels":[]}',1767625200123456,NULL,NULL,NULL);
INSERT INTO "submissions" VALUES('edb4c44690a7492fbdd470ce411312d6','live-account-0001','uncertain',NULL,'uncertain one','{"gender":"f","creator_name":"uncertain one","labels":["u"]}',1767628800123456,1767628860123456,NULL,'The connection broke after the upload.');
INSERT INTO "submissions" VALUES('cf51ce4e9d64482cb29aa071b229b089','live-account-0001','refused',NULL,'refused one','{"gender":"f","creator_name":"refused one","labels":[]}',1767632400123456,1767632460123456,1767632520123456,'gender: Not a valid choice.');
CREATE INDEX submissions_by_account ON submissions (account, prepared_us);
CREATE INDEX personas_by_next_look ON personas (account, next_look_us);
CREATE INDEX sightings_by_persona ON sightings (account, persona_id, first_seen_us);
COMMIT;
