// Package events is what a strategy imports: the event types of the Tapedeck
// contract, their codec, one-event validation and a Publisher.
//
// It knows no server and no database. All values are plain data: safe to copy,
// not safe to mutate from several goroutines at once.
package events

import "time"

// SpecVersion is the CloudEvents version of every event.
const SpecVersion = "1.0"

// Limits of one event. They bound what a reader of the log must ever hold.
const (
	// MaxIDLength is the longest idempotency key, in bytes.
	MaxIDLength = 64
	// MaxDepth is the deepest nesting of arrays and objects in one event.
	MaxDepth = 64
	// MaxEventBytes is the longest canonical encoding of one event, in bytes.
	MaxEventBytes = 1 << 20
	// MaxSequence bounds a sequence inside an event: JSON readers in every
	// language keep integers exact up to it.
	MaxSequence = 1<<53 - 1
)

// Type is an event's CloudEvents type, such as "trade.recorded.v1".
type Type string

// The event types of the contract.
const (
	TypeTradeRecorded           Type = "trade.recorded.v1"
	TypePositionOpened          Type = "position.opened.v1"
	TypePositionHeldDaysSet     Type = "position.held_days_set.v1"
	TypePositionDaysIncremented Type = "position.days_incremented.v1"
	TypePositionPriceMarked     Type = "position.price_marked.v1"
	TypePositionClosed          Type = "position.closed.v1"
	TypeAccountCreated          Type = "account.created.v1"
	TypeAccountUpdated          Type = "account.updated.v1"
	TypeCapitalUpdated          Type = "account.capital_updated.v1"
	TypeAccountStatusChanged    Type = "account.status_changed.v1"
	TypeStrategyCreated         Type = "strategy.created.v1"
	TypeStrategyUpdated         Type = "strategy.updated.v1"
	TypeStrategyStatusChanged   Type = "strategy.status_changed.v1"
	TypeStrategyBound           Type = "strategy.bound.v1"
	TypeBindingChanged          Type = "strategy.binding_changed.v1"
	TypeStrategyUnbound         Type = "strategy.unbound.v1"
	TypeParamSaved              Type = "param.saved.v1"
	TypeParamActivated          Type = "param.activated.v1"
	TypeKlineRecorded           Type = "kline.recorded.v1"
	TypeUserRegistered          Type = "user.registered.v1"
	TypeUserLoggedIn            Type = "user.logged_in.v1"
	TypeUserLoginFailed         Type = "user.login_failed.v1"
	TypeUserStatusChanged       Type = "user.status_changed.v1"
	TypeUserPasswordChanged     Type = "user.password_changed.v1"
	TypeRoleGranted             Type = "role.granted.v1"
	TypeRoleRevoked             Type = "role.revoked.v1"
	TypeTierParked              Type = "tier.parked.v1"
)

// Event is one fact on the tape: a CloudEvents 1.0 envelope around typed Data.
type Event struct {
	// ID is the publisher's idempotency key, 1–64 bytes. Two events with the
	// same ID and the same content are one event.
	ID string
	// Source names the publisher, e.g. "strategy/wencai_v1".
	Source string
	// Subject names the entity, e.g. "account/55009728"; see Data.Subject.
	Subject string
	// Time is when it happened, in Zone, truncated to microseconds.
	Time time.Time
	// CorrelationID and CausationID are optional CloudEvents extensions.
	CorrelationID string
	CausationID   string
	// Data is the payload; its Type is the event's type. Never nil in a
	// decoded event.
	Data Data

	// Sequence is the event's number on the log, from 1, without gaps. The log
	// gives it on reading; it is no part of the encoding.
	Sequence uint64
	// Logged is when the log stored the event, UTC. Given on reading, too.
	Logged time.Time
}

// Type is the CloudEvents type of the event's data.
func (e *Event) Type() Type { return e.Data.Type() }

// Data is one of the payload structs of this package, always a pointer.
// The set is closed: every implementation lives in this package.
type Data interface {
	// Type is the CloudEvents type that this payload belongs to.
	Type() Type
	// Subject is the canonical CloudEvents subject of the entity, e.g.
	// "account/55009728", "strategy/wencai_v1", "stock/600000.SH", "user/li".
	Subject() string

	// normalize validates the payload on its own and fills in what the
	// contract derives. The error is an *InvalidError.
	normalize() error
}

// InvalidError tells which field broke which rule. Ingest, importer and
// Publisher all report bad input with it.
type InvalidError struct {
	// Field is the path from the event's root, e.g. "data.bars[3].low"; empty
	// when the input as a whole is meant.
	Field string
	// Rule is what must hold, e.g. "must be greater than 0".
	Rule string
	// Value is what was found, shortened to 64 runes; may be empty.
	Value string
}

func (e *InvalidError) Error() string {
	msg := e.Rule
	if e.Field != "" {
		msg = e.Field + ": " + msg
	}
	if e.Value != "" {
		msg += ", got " + e.Value
	}
	return msg
}
