package embedded

import (
	"fmt"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// FeedPrefix begins the subjects of the live feed.
const FeedPrefix = "events.v1."

const feedAccount = "FEED"

// secret is a user of this process's lifetime.
type secret struct{ user, password string }

// accounts is the server's configuration of who may do what. The stream lives
// in an account of its own, LOG, that only the appender can enter. Denying the
// subject to others would not do: a request's reply, a consumer's delivery
// subject, another stream's republishing or a stream update also write to it.
// The others' account, PUBLIC, imports two questions that only read, and the
// announcement of new frames.
//
// The live feed comes out of an account of its own, FEED, too: its server knows
// whether anybody listens to it, and only ingest's feed can enter it. In PUBLIC
// nobody may publish on its subjects, ingest included: it answers on whichever
// subject a request names. So does the server, and that cannot be denied: a
// hostile client can have an answer of the log's reading questions sent there.
// Such an answer holds nothing of the client's making and lacks the feed's
// header, Tapedeck-Sequence.
//
// In PUBLIC nobody but ingest may answer on the ingest door, and nobody in the
// log's place.
func accounts(appender, ingest, feed secret) string {
	return fmt.Sprintf(`
accounts {
  LOG {
    jetstream: enabled
    users: [{user: %[1]q, password: %[2]q}]
    exports: [
      {service: "$JS.API.STREAM.INFO.%[5]s", accounts: [PUBLIC]}
      {service: "$JS.API.DIRECT.GET.%[5]s", response_type: stream, accounts: [PUBLIC]}
      {stream: %[7]q, accounts: [PUBLIC]}
    ]
  }
  FEED {
    users: [{user: %[8]q, password: %[9]q}]
    exports: [{stream: "%[10]s>", accounts: [PUBLIC]}]
  }
  PUBLIC {
    users: [
      {user: %[3]q, password: %[4]q, permissions: {publish: {deny: ["%[10]s>"]}}}
      {user: anybody, password: "", permissions: {
        publish: {deny: ["%[10]s>"]}
        subscribe: {deny: ["ingest.v1.>", "%[6]s.STREAM.>", "%[6]s.DIRECT.>"]}
      }}
    ]
    imports: [
      {service: {account: LOG, subject: "$JS.API.STREAM.INFO.%[5]s"}, to: "%[6]s.STREAM.INFO.%[5]s"}
      {service: {account: LOG, subject: "$JS.API.DIRECT.GET.%[5]s"}, to: "%[6]s.DIRECT.GET.%[5]s"}
      {stream: {account: LOG, subject: %[7]q}}
      {stream: {account: FEED, subject: "%[10]s>"}}
    ]
  }
}
no_auth_user: anybody
`, appender.user, appender.password, ingest.user, ingest.password,
		eventlog.StreamName, eventlog.ReadPrefix, eventlog.HeadSubject,
		feed.user, feed.password, FeedPrefix)
}
