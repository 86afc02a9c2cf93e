package events

// Each payload knows its type and the entity it is about.

func (*TradeRecorded) Type() Type           { return TypeTradeRecorded }
func (*PositionOpened) Type() Type          { return TypePositionOpened }
func (*PositionHeldDaysSet) Type() Type     { return TypePositionHeldDaysSet }
func (*PositionDaysIncremented) Type() Type { return TypePositionDaysIncremented }
func (*PositionPriceMarked) Type() Type     { return TypePositionPriceMarked }
func (*PositionClosed) Type() Type          { return TypePositionClosed }
func (*AccountCreated) Type() Type          { return TypeAccountCreated }
func (*AccountUpdated) Type() Type          { return TypeAccountUpdated }
func (*CapitalUpdated) Type() Type          { return TypeCapitalUpdated }
func (*AccountStatusChanged) Type() Type    { return TypeAccountStatusChanged }
func (*StrategyCreated) Type() Type         { return TypeStrategyCreated }
func (*StrategyUpdated) Type() Type         { return TypeStrategyUpdated }
func (*StrategyStatusChanged) Type() Type   { return TypeStrategyStatusChanged }
func (*StrategyBound) Type() Type           { return TypeStrategyBound }
func (*BindingChanged) Type() Type          { return TypeBindingChanged }
func (*StrategyUnbound) Type() Type         { return TypeStrategyUnbound }
func (*ParamSaved) Type() Type              { return TypeParamSaved }
func (*ParamActivated) Type() Type          { return TypeParamActivated }
func (*KlineRecorded) Type() Type           { return TypeKlineRecorded }
func (*UserRegistered) Type() Type          { return TypeUserRegistered }
func (*UserLoggedIn) Type() Type            { return TypeUserLoggedIn }
func (*UserLoginFailed) Type() Type         { return TypeUserLoginFailed }
func (*UserStatusChanged) Type() Type       { return TypeUserStatusChanged }
func (*UserPasswordChanged) Type() Type     { return TypeUserPasswordChanged }
func (*RoleGranted) Type() Type             { return TypeRoleGranted }
func (*RoleRevoked) Type() Type             { return TypeRoleRevoked }
func (*TierParked) Type() Type              { return TypeTierParked }

func (d *TradeRecorded) Subject() string           { return "account/" + d.AccountID }
func (d *PositionOpened) Subject() string          { return "account/" + d.AccountID }
func (d *PositionHeldDaysSet) Subject() string     { return "account/" + d.AccountID }
func (d *PositionDaysIncremented) Subject() string { return "account/" + d.AccountID }
func (d *PositionPriceMarked) Subject() string     { return "account/" + d.AccountID }
func (d *PositionClosed) Subject() string          { return "account/" + d.AccountID }
func (d *AccountCreated) Subject() string          { return "account/" + d.AccountID }
func (d *AccountUpdated) Subject() string          { return "account/" + d.AccountID }
func (d *CapitalUpdated) Subject() string          { return "account/" + d.AccountID }
func (d *AccountStatusChanged) Subject() string    { return "account/" + d.AccountID }
func (d *StrategyCreated) Subject() string         { return "strategy/" + d.StrategyCode }
func (d *StrategyUpdated) Subject() string         { return "strategy/" + d.StrategyCode }
func (d *StrategyStatusChanged) Subject() string   { return "strategy/" + d.StrategyCode }
func (d *StrategyBound) Subject() string           { return "strategy/" + d.StrategyCode }
func (d *BindingChanged) Subject() string          { return "strategy/" + d.StrategyCode }
func (d *StrategyUnbound) Subject() string         { return "strategy/" + d.StrategyCode }
func (d *ParamSaved) Subject() string              { return "strategy/" + d.StrategyCode }
func (d *ParamActivated) Subject() string          { return "strategy/" + d.StrategyCode }
func (d *KlineRecorded) Subject() string           { return "stock/" + d.StockCode }
func (d *UserRegistered) Subject() string          { return "user/" + d.Username }
func (d *UserLoggedIn) Subject() string            { return "user/" + d.Username }
func (d *UserLoginFailed) Subject() string         { return "user/" + d.Username }
func (d *UserStatusChanged) Subject() string       { return "user/" + d.Username }
func (d *UserPasswordChanged) Subject() string     { return "user/" + d.Username }
func (d *RoleGranted) Subject() string             { return "user/" + d.Username }
func (d *RoleRevoked) Subject() string             { return "user/" + d.Username }
func (d *TierParked) Subject() string              { return "tier/" + d.Tier }
