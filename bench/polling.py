import argparse, math, random, statistics, sys, time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
import pandas as pd
from avatarkit.estimates.business_hours import BusinessHours
from avatarkit.estimates import work_clock
from avatarkit.models import STAGES
from avatarkit.tracking import polling, schedule
from avatarkit.tracking.polling import Pace
NAMES = [stage.value for stage in STAGES]
MEDIANS=dict(zip(NAMES,(2.,5.,4.,4.,8.,22.)))
SIGMA=.6
HOURS=BusinessHours(9,18,-8)
START=datetime(2026,3,2,tzinfo=UTC)
H=timedelta(hours=1)
@dataclass
class Life:
    id:str
    stages:list  # (status, begins, ends)
    end:str|None
def draw(rng, i, calendar):
    at=START+rng.uniform(0,28*24)*H
    st=[]
    end='done'
    fail = rng.choices(range(1,5),weights=[.2,.2,.4,.2])[0] if rng.random()<.08 else None
    stuck = rng.randrange(1,6) if rng.random()<.02 else None
    for k,n in enumerate(NAMES):
        h=MEDIANS[n]*math.exp(SIGMA*rng.gauss(0,1))
        if n=='reviewing' and calendar: e=HOURS.after(at,h/2)
        else: e=at+h*H
        if stuck==k:
            st.append((n,at,at+30*24*H)); end=None; break
        st.append((n,at,e)); at=e
        if fail==k: end='failed'; break
    return Life(f"p{i}",st,end)
def simulate(lives, rule, rng, keep=None):
    calls=[];late=[];seen=tot=0;stuckcalls=[]
    for L in lives:
        now=L.stages[0][1]; status=NAMES[0]; since=now; n=0; runs=[[status,now,now]]
        until=L.stages[-1][2]; k=0; got={0}
        while True:
            now=rule(status,since,now,L.id)
            n+=1
            while rng.random()<.01:
                now+=timedelta(minutes=1); n+=1
            if now>=until: break
            while now>=L.stages[k][2]: k+=1
            got.add(k)
            if L.stages[k][0]!=status:
                status=L.stages[k][0]; since=now; runs.append([status,now,now])
            else: runs[-1][2]=now
        if L.end is None: stuckcalls.append(n)
        else:
            calls.append(n); late.append((now-until)/H); runs.append([L.end,now,now])
        for j,(s,b,e) in enumerate(L.stages):
            if s!='reviewing' and (e-b)>=H and not(L.end is None and j==len(L.stages)-1):
                tot+=1; seen+= j in got
        if keep is not None: keep.extend((L.id,*r,i==0) for i,r in enumerate(runs))
    late.sort()
    return dict(calls=statistics.mean(calls),all=(sum(calls)+sum(stuckcalls))/len(lives),mean=statistics.mean(late),p95=late[int(.95*len(late))],seen=seen/tot,stuck=statistics.mean(stuckcalls) if stuckcalls else 0)
def fixed(lives, mean, rng):
    g=2*(mean-.01/60); late=[];calls=[]
    for L in lives:
        if L.end is None: continue
        span=(L.stages[-1][2]-L.stages[0][1])/H
        ph=rng.uniform(0,g); n=math.ceil((span-ph)/g)+1 if span>ph else 1
        t=ph+(n-1)*g-span
        calls.append(n*1.0101); late.append(t)
    late.sort()
    return statistics.mean(calls), statistics.mean(late), late[int(.95*len(late))]
def rule_of(paces):
    return lambda s,since,now,i: polling.next_poll_at(s,since,now,i,paces.get(s))
def main():
    sys.path.insert(0,'/tmp')
    import polling_old
    N=int(sys.argv[1]) if len(sys.argv)>1 else 300
    prior={n:polling.prior(n) for n in NAMES}
    def scaled(f): return {n:replace(p,median_h=p.median_h*f) for n,p in prior.items()}
    for calendar in (False,True):
        rows={}
        for seed in (1,2,3):
            rng=random.Random(seed)
            earlier=[draw(rng,i,calendar) for i in range(200)]
            lives=[draw(rng,i,calendar) for i in range(N)]
            keep=[]
            simulate(earlier,rule_of(prior),rng,keep)
            f=pd.DataFrame(keep,columns=['persona_id','status','first_seen_at','last_seen_at','c'])
            f['source']=f['c'].map({True:'create',False:'poll'})
            f['reported_at']=f['first_seen_at'].where(f['c'])
            f['times_seen']=2; f['failed_reason']=None
            for c in ('first_seen_at','last_seen_at','reported_at'): f[c]=f[c].astype('datetime64[us, UTC]')
            t=time.process_time()
            learned=schedule.learn(f.drop(columns='c'),None,START+75*24*H)
            if seed==1: print('learn s',time.process_time()-t,{k:(round(p.median_h,1),round(p.sigma,2),bool(p.speeds)) for k,p in learned.items()})
            truth={n:Pace(MEDIANS[n],SIGMA,prior[n].weight) for n in NAMES}
            if calendar:
                clock=work_clock.calendar_clock(HOURS,.01)
                truth['reviewing']=Pace(11*168/45,SIGMA,prior['reviewing'].weight,tuple(clock.rates.tolist()))
            rules={'old':lambda *a: polling_old.next_poll_at(*a),'prior':rule_of(prior),'learned':rule_of(learned),'oracle':rule_of(truth),'prior x4':rule_of(scaled(4)),'prior /4':rule_of(scaled(.25))}
            for name,rule in rules.items():
                r=simulate(lives,rule,random.Random(seed+50))
                fc,fm,f95=fixed(lives,r['mean'],random.Random(seed+70))
                r['eco']=fc/r['calls']; r['p95r']=r['p95']/(1.9*r['mean'])
                rows.setdefault(name,[]).append(r)
        print('calendar' if calendar else 'no calendar')
        for name,rs in rows.items():
            print(f"{name:10}", {k:round(statistics.mean(r[k] for r in rs),3) for k in rs[0]})
main()
