package main

import "context"

func (c *campaign) silent(ctx context.Context) error { return nil }
func (c *campaign) tokens(ctx context.Context) error { return nil }
