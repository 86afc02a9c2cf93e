package events

func (d *TradeRecorded) normalize() error           { panic("to be written") }
func (d *PositionOpened) normalize() error          { panic("to be written") }
func (d *PositionHeldDaysSet) normalize() error     { panic("to be written") }
func (d *PositionDaysIncremented) normalize() error { panic("to be written") }
func (d *PositionPriceMarked) normalize() error     { panic("to be written") }
func (d *PositionClosed) normalize() error          { panic("to be written") }
func (d *AccountCreated) normalize() error          { panic("to be written") }
func (d *AccountUpdated) normalize() error          { panic("to be written") }
func (d *CapitalUpdated) normalize() error          { panic("to be written") }
func (d *AccountStatusChanged) normalize() error    { panic("to be written") }
func (d *StrategyCreated) normalize() error         { panic("to be written") }
func (d *StrategyUpdated) normalize() error         { panic("to be written") }
func (d *StrategyStatusChanged) normalize() error   { panic("to be written") }
func (d *StrategyBound) normalize() error           { panic("to be written") }
func (d *BindingChanged) normalize() error          { panic("to be written") }
func (d *StrategyUnbound) normalize() error         { panic("to be written") }
func (d *ParamSaved) normalize() error              { panic("to be written") }
func (d *ParamActivated) normalize() error          { panic("to be written") }
func (d *KlineRecorded) normalize() error           { panic("to be written") }
func (d *UserRegistered) normalize() error          { panic("to be written") }
func (d *UserLoggedIn) normalize() error            { panic("to be written") }
func (d *UserLoginFailed) normalize() error         { panic("to be written") }
func (d *UserStatusChanged) normalize() error       { panic("to be written") }
func (d *UserPasswordChanged) normalize() error     { panic("to be written") }
func (d *RoleGranted) normalize() error             { panic("to be written") }
func (d *RoleRevoked) normalize() error             { panic("to be written") }
