package embedded

import (
	"fmt"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// secret is a user of this process's lifetime.
type secret struct{ user, password string }

// accounts is the server's configuration of who may do what. The stream lives
// in an account of its own, LOG, that only the appender can enter. Denying the
// subject to others would not do: a request's reply, a consumer's delivery
// subject, another stream's republishing or a stream update also write to it.
// The others' account, PUBLIC, imports two questions that only read, and the
// announcement of new frames.
//
// In PUBLIC nobody but ingest may answer on the ingest door, and nobody in the
// log's place.
func accounts(appender, ingest secret) string {
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
  PUBLIC {
    users: [
      {user: %[3]q, password: %[4]q}
      {user: anybody, password: "", permissions: {
        subscribe: {deny: ["ingest.v1.>", "%[6]s.STREAM.>", "%[6]s.DIRECT.>"]}
      }}
    ]
    imports: [
      {service: {account: LOG, subject: "$JS.API.STREAM.INFO.%[5]s"}, to: "%[6]s.STREAM.INFO.%[5]s"}
      {service: {account: LOG, subject: "$JS.API.DIRECT.GET.%[5]s"}, to: "%[6]s.DIRECT.GET.%[5]s"}
      {stream: {account: LOG, subject: %[7]q}}
    ]
  }
}
no_auth_user: anybody
`, appender.user, appender.password, ingest.user, ingest.password,
		eventlog.StreamName, eventlog.ReadPrefix, eventlog.HeadSubject)
}
