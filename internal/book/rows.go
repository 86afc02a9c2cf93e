package book

// Rows yields the contents as canonical rows, ordered by kinds as given, then
// by key bytewise. It stops at yield's first error and returns it.
func (b *Book) Rows(kinds []Kind, yield func(Row) error) error { panic("to be written") }

// Restore is the inverse of Rows: it puts one row in place.
func (b *Book) Restore(r Row) error { panic("to be written") }

// Row is the canonical row.
func (a Account) Row() Row { panic("to be written") }

// Row is the canonical row.
func (s Strategy) Row() Row { panic("to be written") }

// Row is the canonical row.
func (s Binding) Row() Row { panic("to be written") }

// Row is the canonical row.
func (p Param) Row() Row { panic("to be written") }

// Row is the canonical row.
func (u User) Row() Row { panic("to be written") }

// Row is the canonical row.
func (r UserRole) Row() Row { panic("to be written") }

// Row is the canonical row.
func (t Trade) Row() Row { panic("to be written") }

// Row is the canonical row.
func (d Deal) Row() Row { panic("to be written") }

// Row is the canonical row.
func (a Asset) Row() Row { panic("to be written") }

// Row is the canonical row.
func (k Kline) Row() Row { panic("to be written") }

// HeldDaysRow, MaxPriceRow, MinPriceRow and IncDateRow are the rows of
// positions.
