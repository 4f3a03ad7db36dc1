-- People by name: members, and who travels.

-- An index on memberships begins with the user, who may belong to other organizations, too. OFFSET 0 keeps what a query asks
-- of the view from reaching it: the members of the organization are found first.
create or replace view analytics_private.members as
  select m.organization_id, u.id as user_id, u.display_name, m.role, (m.created_at at time zone o.time_zone)::date as joined_on
  from app.memberships m
  join app.organizations o on o.id = m.organization_id
  join app.users u on u.id = m.user_id
  where m.organization_id = (select app.visible_org('members.read')) and m.deleted_at is null
  offset 0;
comment on view analytics_private.members is 'The members of the organization whose rows the caller sees.';
alter view analytics_private.members owner to callboard_rollup;

create or replace view analytics.dim_members with (security_barrier = true) as
  select m.user_id, m.display_name, m.role, m.joined_on
  from analytics_private.members m
  where m.organization_id = (select app.visible_org('members.read'));
comment on view analytics.dim_members is 'Members of the organization, one row each; not those who have left. Needs members.read.';
comment on column analytics.dim_members.user_id is 'The user. The key; activity_by_day and dim_party have it.';
comment on column analytics.dim_members.display_name is 'The name.';
comment on column analytics.dim_members.role is 'The built-in role; null for those who have only roles of the organization''s own.';
comment on column analytics.dim_members.joined_on is 'The day on which they joined, in the time zone of the organization: dim_calendar.day.';
select analytics_private.publish('dim_members');

create or replace view analytics.dim_party with (security_barrier = true) as
  select p.id as party_member_id, p.itinerary_id, i.name as itinerary, i.artist, p.name, p.role, p.user_id
  from app.party_members p
  join app.itineraries i on i.organization_id = p.organization_id and i.id = p.itinerary_id and i.deleted_at is null
  where p.organization_id = (select app.visible_org('itineraries.write')) and p.deleted_at is null;
comment on view analytics.dim_party is 'Who travels, one row for each person of an itinerary. Needs itineraries.write.';
comment on column analytics.dim_party.party_member_id is 'The person on this itinerary. The key.';
comment on column analytics.dim_party.itinerary_id is 'The itinerary: dim_itineraries.';
comment on column analytics.dim_party.itinerary is 'Its name.';
comment on column analytics.dim_party.artist is 'The artist of the itinerary: dim_artists, if a show has the same name.';
comment on column analytics.dim_party.name is 'The name of the person.';
comment on column analytics.dim_party.role is 'What they do there.';
comment on column analytics.dim_party.user_id is 'Their account: dim_members; null without one.';
select analytics_private.publish('dim_party');
