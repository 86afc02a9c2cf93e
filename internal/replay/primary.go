package replay

import (
	"fmt"
	"net/http"
)

// setPrimary tells the console from which tier readers shall read everything:
// "file", or "auto" for each kind's own tier.
func (e *Env) setPrimary(tier string) error {
	status, text, err := e.call(e.console(), http.MethodPut, "/v1/settings/primary",
		map[string]string{"positions": tier, "records": tier, "trades": tier, "klines": tier})
	if err != nil {
		return fmt.Errorf("the tier is where it should be, but readers were not switched to %q (is the console running? run this again): %w", tier, err)
	}
	if status/100 != 2 {
		return fmt.Errorf("the tier is where it should be, but the console refused to read from %q: %d %s: %.4096s", tier, status, http.StatusText(status), text)
	}
	fmt.Fprintf(e.Err, "readers now read from: %s\n", tier)
	return nil
}
